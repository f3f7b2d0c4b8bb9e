// Command caddy is Caddy with this module compiled in, as xcaddy would build it.
// The demo and the tests run it.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/romm-oidc/caddy-romm-oidc"
)

func main() { caddycmd.Main() }
