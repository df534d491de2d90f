# syntax=docker/dockerfile:1

# The build: same toolchain as the developers', and a C compiler for the TLS library and the allocator.
FROM rust:1.95-bookworm AS build
WORKDIR /build

# The dependencies alone, in a layer that only a changed lock file throws away: the service stands in as two empty
# files, which are then removed together with what was built from them. What Cargo.toml names besides, and is not built
# here, stays as an empty file.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src tests/it benches \
    && echo 'fn main() {}' | tee src/main.rs tests/it/main.rs benches/bare.rs benches/held.rs benches/hit.rs \
    && touch src/lib.rs \
    && cargo build --release --locked \
    && cargo clean --release --package genesys-reports \
    && rm -r src

COPY src src
RUN cargo build --release --locked --bin genesys-reports

# The service: the C library, the certificate authorities, one file, and the list of what that is made of. No shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /build/target/release/genesys-reports /genesys-reports
COPY sbom.cdx.json /sbom.cdx.json

# By number, so that an orchestrator can see that it is not root without reading a user database.
USER 65532:65532
# Beyond loopback the service starts only with keys, JWT or an explicit auth.anonymous = true.
ENV REPORTS_SERVER__LISTEN=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/genesys-reports", "healthcheck"]
ENTRYPOINT ["/genesys-reports"]
CMD ["serve"]
