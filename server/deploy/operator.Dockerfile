# The operator. From the repository's root:
#
#   docker build -f server/deploy/operator.Dockerfile -t skytorch/operator .
#
# It writes nothing but its log.

ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python3 -m venv /opt/skytorch && python3 -m venv /opt/tools \
    && /opt/tools/bin/pip install hatchling hatch-jupyter-builder jupyter-builder
COPY server/deploy/operator-requirements.txt /source/server/deploy/operator-requirements.txt
RUN /opt/skytorch/bin/pip install --requirement /source/server/deploy/operator-requirements.txt
COPY . /source
WORKDIR /source
# The sidebar is the notebook's: files of its names say that there is nothing to build.
RUN mkdir -p jupyter_skytorch/labextension/static \
    && touch jupyter_skytorch/labextension/package.json jupyter_skytorch/labextension/static/style.js \
    && /opt/tools/bin/python -m hatchling build -t wheel -d /wheels \
    && /opt/skytorch/bin/pip install --no-deps /wheels/*.whl

FROM ${BASE}
COPY --from=build /opt/skytorch /opt/skytorch
ENV PATH=/opt/skytorch/bin:${PATH} HOME=/tmp PYTHONDONTWRITEBYTECODE=1
USER 1000:1000
ENTRYPOINT ["skytorch-operator"]
