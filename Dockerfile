# Two programs in a small image; see docs/guide/deploy.md.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package hstore-server --package hstore-cli --bins \
    && mkdir /out \
    && strip -o /out/hstore-server target/release/hstore-server \
    && strip -o /out/hstore-cli target/release/hstore-cli

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin hstore \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/hstore
COPY --from=build /out/ /usr/local/bin/
USER 10001
WORKDIR /var/lib/hstore
VOLUME /var/lib/hstore
# A node listens on loopback until it is told otherwise: nothing is encrypted, so that is for you to decide.
ENV HSTORE_DATA=/var/lib/hstore/data \
    HSTORE_HOST=127.0.0.1:2379
EXPOSE 2379 2380
STOPSIGNAL SIGTERM
# 6 means that the node answered and asks who we are, which is as alive.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD hstore-cli --timeout 3s status >/dev/null 2>&1 || [ "$?" -eq 6 ]
ENTRYPOINT ["hstore-server"]
CMD ["start"]
