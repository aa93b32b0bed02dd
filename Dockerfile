# One image for every stage: `docker run headrace headrace worker --stages content`.
FROM python:3.11-slim AS build
RUN pip install --no-cache-dir uv==0.13.9 && python -m venv /opt/venv
ENV VIRTUAL_ENV=/opt/venv
WORKDIR /src
COPY requirements.txt ./
RUN uv pip sync --no-cache --require-hashes requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY models models
COPY streams streams
RUN uv pip install --no-cache --no-deps --no-build-isolation .

FROM python:3.11-slim
COPY --from=build /opt/venv /opt/venv
RUN useradd --uid 10001 --create-home headrace && mkdir -p /var/cache/headrace && chown headrace /var/cache/headrace
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HF_HUB_OFFLINE=1 \
    HF_HOME=/var/cache/headrace/huggingface \
    HEADRACE_CACHE_DIR=/var/cache/headrace \
    HEADRACE_WEB_HOST=0.0.0.0 \
    HEADRACE_WEB_PORT=8000
USER headrace
WORKDIR /home/headrace
VOLUME /var/cache/headrace
EXPOSE 8000
# Liveness: fails when the worker is stuck, not when Kafka or Redis is down. A restart would mend only the first.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
CMD ["headrace", "worker"]
