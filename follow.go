// A sign-in that the operator follows through the admin API.

package rommoidc

import (
	"context"
	"net/url"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/handler"
	"github.com/romm-oidc/caddy-romm-oidc/handler/watch"
)

// FollowSignIn implements admin.Gate.
func (g *pooledGate) FollowSignIn(wait time.Duration) (address, marker string) {
	marker = g.gate.Followed.Follow(wait)
	return g.origin + handler.LoginPath + "?" + url.Values{handler.FollowParameter: {marker}}.Encode(), marker
}

// FollowedSignIn implements admin.Gate.
func (g *pooledGate) FollowedSignIn(ctx context.Context, marker string) (watch.Report, bool) {
	report, ok := g.gate.Followed.Report(marker)
	if !ok || report.Claims == nil || !report.Done {
		return report, ok
	}
	links, err := g.links.List(ctx)
	if err != nil {
		return report, ok // the report is complete but for the account
	}
	for _, link := range links {
		if link.Issuer == g.issuer && link.Subject == report.Claims.Subject {
			report.Account = &watch.Account{ID: link.ID, Username: link.Username, Email: link.Email, Role: link.Role}
		}
	}
	return report, ok
}
