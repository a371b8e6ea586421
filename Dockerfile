# Three images from one base: `serve` answers digits over HTTP, `train` holds the whole pipeline, `tracking` is the
# MLflow server of compose.yaml. Build one with `docker build --target serve -t dcgan-serve .` (or buildah, podman).
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS base
ENV PATH=/opt/dcgan/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MLFLOW_DISABLE_TELEMETRY=true \
    GX_ANALYTICS_ENABLED=false
LABEL org.opencontainers.image.title="dcgan-mnist" \
      org.opencontainers.image.description="A tracked, gated, reproducible DCGAN pipeline and its generator as a service" \
      org.opencontainers.image.base.name="python:3.11-slim-bookworm"

# The installer, hash-locked like everything that it installs; it stays in the build stages.
FROM base AS build
ENV UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never \
    UV_NO_CACHE=1 \
    VIRTUAL_ENV=/opt/dcgan
WORKDIR /build
COPY requirements/uv.txt requirements/uv.txt
RUN python -m venv /opt/uv \
 && /opt/uv/bin/pip install --quiet --disable-pip-version-check --no-cache-dir \
      --require-hashes --only-binary :all: --no-deps --requirement requirements/uv.txt \
 && /opt/uv/bin/uv venv --quiet /opt/dcgan

# Dependencies come before the sources, so that a change of code does not install them anew.
FROM build AS serve-build
ARG RUNTIME=cpu
COPY requirements/serve-${RUNTIME}.txt requirements/
RUN /opt/uv/bin/uv pip sync --quiet --require-hashes --no-build requirements/serve-${RUNTIME}.txt
COPY pyproject.toml README.md ./
COPY src src
RUN PATH=/opt/uv/bin:$PATH /opt/uv/bin/uv build --quiet --no-build-isolation --python /opt/uv/bin/python --wheel --out-dir dist \
 && /opt/uv/bin/uv pip install --quiet --no-deps dist/*.whl

# Here alone one source distribution is let in, and built by a locked setuptools: DVC's antlr4-python3-runtime is
# published as nothing else.
FROM build AS train-build
COPY requirements/train.txt requirements/build.txt requirements/
RUN /opt/uv/bin/uv pip sync --quiet --require-hashes --only-binary :all: --no-binary antlr4-python3-runtime \
      --build-constraints requirements/build.txt requirements/train.txt

FROM build AS tracking-build
COPY requirements/tracking.txt requirements/
RUN /opt/uv/bin/uv pip sync --quiet --require-hashes --no-build requirements/tracking.txt

FROM base AS tracking
COPY --from=tracking-build /opt/dcgan /opt/dcgan
WORKDIR /mlflow
RUN chown 999:999 /mlflow
USER 999:999
EXPOSE 5000
ENTRYPOINT ["mlflow", "server", "--host", "0.0.0.0", "--port", "5000"]

# The pipeline in /app; `docker run … dvc repro` is the default. The folders that it writes to are there, and its user's, so that
# volumes laid over them are too.
FROM base AS train
COPY --from=train-build /opt/dcgan /opt/dcgan
WORKDIR /app
COPY --chown=999:999 . .
RUN python -c "import pathlib, site; pathlib.Path(site.getsitepackages()[0], 'dcgan.pth').write_text('/app/src')" \
 && echo 'dcgan:x:999:999::/tmp:/usr/sbin/nologin' >> /etc/passwd \
 && rm -rf .git && dvc config --local core.no_scm true \
 && mkdir -p data models reports mlruns .checkpoints .dvc/cache \
 && chown -R 999:999 data models reports mlruns .checkpoints .dvc demo && chown 999:999 .
ENV HOME=/tmp
USER 999:999
CMD ["dvc", "repro"]

FROM base AS serve
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=serve-build /opt/dcgan /opt/dcgan
WORKDIR /tmp
USER 999:999
# As KServe and Cloud Run expect it; they, and whoever runs the image, may set another.
ENV PORT=8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/v2/health/ready', timeout=2)"]
ENTRYPOINT ["dcgan"]
CMD ["serve", "--host", "0.0.0.0"]
