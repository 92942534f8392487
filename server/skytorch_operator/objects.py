"""What the operator makes of a Compute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skytorch_operator.api import GROUP, VERSION

if TYPE_CHECKING:
    from skytorch_operator.api import Object

#: On everything that belongs to a Compute, its pod too; the value is the Compute's name.
NAME_LABEL = f"{GROUP}/name"
CONTAINER = "server"
CREDENTIALS = "/var/run/skytorch"
#: The user that a server runs as, whatever its image says: nobody in particular.
USER = 1000


def labels(compute: Object) -> dict[str, str]:
    """Those of everything that belongs to a Compute."""
    return {
        NAME_LABEL: compute["metadata"]["name"],
        "app.kubernetes.io/name": "skytorch-server",
        "app.kubernetes.io/managed-by": "skytorch-operator",
    }


def metadata(compute: Object) -> Object:
    """The same for all three objects; when the Compute is deleted, Kubernetes deletes them too."""
    owner = compute["metadata"]
    return {
        "name": owner["name"],
        "namespace": owner["namespace"],
        "labels": labels(compute),
        "ownerReferences": [
            {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": "Compute",
                "name": owner["name"],
                "uid": owner["uid"],
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }


def is_owned(found: Object, compute: Object) -> bool:
    """Whether an object belongs to this Compute, and not to another one or to nobody."""
    owners = found["metadata"].get("ownerReferences") or []
    return any(owner["uid"] == compute["metadata"]["uid"] and owner.get("controller") for owner in owners)


def is_owned_by_namesake(found: Object, compute: Object) -> bool:
    """Whether an object belongs to a Compute of that name which isn't there any more."""
    owners = found["metadata"].get("ownerReferences") or []
    named = "Compute", compute["metadata"]["name"], compute["apiVersion"]
    return any((owner["kind"], owner["name"], owner["apiVersion"]) == named for owner in owners)


def secret(compute: Object, data: dict[str, str]) -> Object:
    """The Secret with the Compute's credentials."""
    return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata(compute), "data": data}


def service(compute: Object) -> Object:
    """The Service that gives the server its name; it has no address of its own."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(compute),
        "spec": {
            "clusterIP": "None",
            "selector": {NAME_LABEL: compute["metadata"]["name"]},
            "ports": [{"name": "grpc", "port": compute["spec"]["port"], "protocol": "TCP", "targetPort": "grpc"}],
        },
    }


def stateful_set(compute: Object) -> Object:
    """The StatefulSet that runs the server, or keeps its volumes while it is suspended."""
    name, spec = compute["metadata"]["name"], compute["spec"]
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(compute),
        "spec": {
            "replicas": 0 if spec["suspend"] else 1,
            "serviceName": name,
            "selector": {"matchLabels": {NAME_LABEL: name}},
            # A pod that doesn't get ready is replaced when the Compute is corrected; in order it would be waited for.
            "podManagementPolicy": "Parallel",
            "template": template(compute),
            "volumeClaimTemplates": [
                {
                    "metadata": {"name": claim["metadata"]["name"]},
                    "spec": claim["spec"],
                }
                for claim in spec.get("volumeClaimTemplates", ())
            ],
        },
    }


def template(compute: Object) -> Object:
    """The pod: nobody in particular, without privileges, with the server's credentials."""
    spec = compute["spec"]
    return {
        "metadata": {
            "labels": {**spec.get("labels", {}), **labels(compute)},
            "annotations": {**spec.get("annotations", {}), "kubectl.kubernetes.io/default-container": CONTAINER},
        },
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [_container(compute)],
            "volumes": [
                {
                    "name": "skytorch-credentials",
                    "secret": {"secretName": compute["metadata"]["name"], "defaultMode": 0o440},
                },
                {"name": "skytorch-tmp", "emptyDir": {}},
            ],
        },
    }


def _container(compute: Object) -> Object:
    spec = compute["spec"]
    # Tensors go to other Computes of the namespace, unless the Compute says otherwise.
    own = {"SKYTORCH_COPY_TO": f"*.{compute['metadata']['namespace']}.svc.cluster.local"}
    # Where the server listens and whom it lets in isn't for the Compute's own variables to say.
    environment = (
        own
        | {one["name"]: one["value"] for one in spec.get("env", ())}
        | {
            "SKYTORCH_HOST": "0.0.0.0",  # noqa: S104 - in a pod, behind TLS and a token
            "SKYTORCH_PORT": str(spec["port"]),
            "SKYTORCH_TOKEN_FILE": f"{CREDENTIALS}/token",
            "SKYTORCH_TLS_CERT": f"{CREDENTIALS}/tls.crt",
            "SKYTORCH_TLS_KEY": f"{CREDENTIALS}/tls.key",
        }
    )
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": spec["image"],
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "ports": [{"name": "grpc", "containerPort": spec["port"], "protocol": "TCP"}],
        "resources": spec.get("resources", {}),
        # The server listens once it can serve. gRPC's own probe knows no TLS.
        "readinessProbe": {"tcpSocket": {"port": "grpc"}, "periodSeconds": 5, "failureThreshold": 3},
        "securityContext": unprivileged(),
        "volumeMounts": [
            {"name": "skytorch-credentials", "mountPath": CREDENTIALS, "readOnly": True},
            {"name": "skytorch-tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own
            *(
                {
                    "name": claim["metadata"]["name"],
                    "mountPath": claim.get("mountPath", f"/mnt/{claim['metadata']['name']}"),
                }
                for claim in spec.get("volumeClaimTemplates", ())
            ),
        ],
    }
    return container | {field: spec[field] for field in ("command", "args") if field in spec}


def unprivileged() -> Object:
    """How every container of a Compute runs."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
    }
