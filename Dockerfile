# A node of Switchboard. docs/operations.md tells how to run it: docker build -t switchboard .

FROM python:3.13-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md requirements.txt ./
COPY router router
COPY node node
# The wheel first: what is installed below is what anybody would install.
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /src/wheels .
# Without pip: what runs needs nothing that installs.
RUN python -m venv --without-pip /opt/switchboard \
    && python -m pip --python /opt/switchboard/bin/python install --no-cache-dir -r requirements.txt \
    && python -m pip --python /opt/switchboard/bin/python install --no-cache-dir --no-deps /src/wheels/*.whl

FROM python:3.13-slim-bookworm
# A number, so that Kubernetes can see that it is not root's.
RUN groupadd --gid 10001 switchboard \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin switchboard
COPY --from=build /opt/switchboard /opt/switchboard
COPY deploy/docker/healthy.py /opt/switchboard/healthy.py
# Nothing is written at run time: the root file system may be read-only.
ENV PATH=/opt/switchboard/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SWITCHBOARD_LOG__FORMAT=json
# A config.toml that is mounted here is read; the environment overrides it.
WORKDIR /etc/switchboard
USER 10001:10001
EXPOSE 8001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "/opt/switchboard/healthy.py"]
ENTRYPOINT ["switchboard"]
CMD ["serve", "--wait", "60"]
