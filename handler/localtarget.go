// Where a browser is sent back to within the site.

package handler

import (
	"net/url"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// localTarget returns target if it is a path of this site to come back to, else "/".
func (h *Handler) localTarget(target string) string {
	if !flow.LocalPath(target) {
		return "/"
	}
	u, err := url.Parse(target)
	if err != nil || request.Under(request.Normal(u.Path), request.Base) && target != sessionsPath {
		return "/"
	}
	return target
}
