"""The Kubernetes operator: a Compute becomes a StatefulSet, a Service and a Secret, and says how they are."""
