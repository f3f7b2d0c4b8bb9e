# Caddy's own image with this module, built from a checkout:
# docker build -t caddy-romm-oidc .
#
# The builder compiles for the platform that is built, on the machine that builds.
FROM --platform=$BUILDPLATFORM caddy:2.11-builder AS builder
ARG TARGETOS
ARG TARGETARCH
# What to build: this checkout, or a release, such as …/caddy-romm-oidc@v1.2.3.
ARG MODULE=github.com/romm-oidc/caddy-romm-oidc@v0.0.0=.
COPY . /src
WORKDIR /src
RUN GOOS=$TARGETOS GOARCH=$TARGETARCH xcaddy build --output /usr/bin/caddy --with "$MODULE"

FROM caddy:2.11
COPY --from=builder /usr/bin/caddy /usr/bin/caddy
LABEL org.opencontainers.image.title="Caddy with romm_oidc"
LABEL org.opencontainers.image.description="Caddy, with the module that puts RomM behind Authelia"
LABEL org.opencontainers.image.source="https://github.com/romm-oidc/caddy-romm-oidc"
