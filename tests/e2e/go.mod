module github.com/romm-oidc/caddy-romm-oidc/tests/e2e

go 1.26.0

require github.com/romm-oidc/caddy-romm-oidc v0.0.0

require github.com/go-jose/go-jose/v4 v4.1.9 // indirect

replace github.com/romm-oidc/caddy-romm-oidc => ../..
