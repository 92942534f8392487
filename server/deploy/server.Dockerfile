# The torch server. From the repository's root:
#
#   docker build -f server/deploy/server.Dockerfile -t skytorch/server .
#
# It runs as nobody in particular, with a root file system that may be read-only; what it writes goes to /tmp, and to
# the folders that its settings name. Its settings are environment variables: see docs/clusters.md.

# A CUDA that the node's driver knows. torch brings its own libraries; the base says which driver it needs at least.
ARG BASE=nvidia/cuda:13.0.1-base-ubuntu24.04

FROM ${BASE} AS python
# A compiler stays, too: what notebooks compile with torch's own compiler is built on the server.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ python3 python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*

FROM python AS build
# The torch that the native core is compiled for; it must be one that the notebooks' packages speak with.
ARG TORCH=2.13.0
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python3 -m venv /opt/skytorch && python3 -m venv /opt/tools \
    && /opt/tools/bin/pip install hatchling hatch-jupyter-builder jupyter-builder
COPY server/requirements.txt /source/server/requirements.txt
RUN /opt/skytorch/bin/pip install "torch==${TORCH}" --requirement /source/server/requirements.txt
COPY . /source
WORKDIR /source
# The sidebar is the notebook's: files of its names say that there is nothing to build.
RUN mkdir -p jupyter_skytorch/labextension/static \
    && touch jupyter_skytorch/labextension/package.json jupyter_skytorch/labextension/static/style.js \
    && /opt/tools/bin/python -m hatchling build -t wheel -d /wheels \
    && /opt/skytorch/bin/pip install --no-deps /wheels/*.whl \
    && cd / && /opt/skytorch/bin/python -m skytorch_wire.native prebuild skytorch_server.session

FROM python
COPY --from=build /opt/skytorch /opt/skytorch
ENV PATH=/opt/skytorch/bin:${PATH} HOME=/tmp PYTHONDONTWRITEBYTECODE=1 TORCH_DEVICE_BACKEND_AUTOLOAD=0
USER 1000:1000
EXPOSE 50051
ENTRYPOINT ["skytorch-server"]
