# Caddy's own image with this module, built from a checkout:
# docker build -t caddy-romm-oidc .
FROM caddy:2.11-builder AS builder
COPY . /src
WORKDIR /src
RUN xcaddy build --output /usr/bin/caddy --with github.com/romm-oidc/caddy-romm-oidc@v0.0.0=.

FROM caddy:2.11
COPY --from=builder /usr/bin/caddy /usr/bin/caddy
