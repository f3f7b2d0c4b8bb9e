// The version of this module, as it was built into Caddy.

package rommoidc

import (
	"runtime/debug"
	"sync"
)

const modulePath = "github.com/romm-oidc/caddy-romm-oidc"

// version returns the module's version, "(devel)" if Caddy was built from a
// directory.
var version = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, module := range info.Deps {
		if module.Path == modulePath {
			if module.Replace != nil {
				module = module.Replace
			}
			if module.Version != "" {
				return module.Version
			}
		}
	}
	return "(devel)"
})
