// The ID token of a sign-in that was refused, for the sign-out on its page.

package handler

import (
	"net/http"

	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

const (
	// sealHint is the purpose that the ID token is sealed for.
	sealHint = "id token hint"
	// hintLimit bounds that token, in bytes: browsers keep cookies of 4 KiB.
	hintLimit = 2 << 10
)

func (h *Handler) hintName() string { return h.cookies.Prefix + "hint" }

// keepHint keeps the ID token of a refused sign-in in the browser, for as long as
// its page, if that has a button to sign out and the provider takes a hint. Without
// one, providers ask users whether they want to sign out (RP-Initiated Logout 1.0,
// section 2). There is no session that would have the token.
func (h *Handler) keepHint(in *incoming, idToken string, refusal *problem.Problem) {
	if idToken == "" || len(idToken) > hintLimit || refusal.Way != problem.WayProvider && refusal.Way != problem.WayEither {
		return
	}
	ctx := in.r.Context()
	if _, takes := h.config.RelyingParty.EndSessionURL(ctx, idToken, h.origin, ""); !takes {
		return
	}
	ring, err := h.config.Gate.Sessions.Keyring(ctx)
	if err != nil {
		return // the user is asked
	}
	sealed := ring.SealText(sealHint, []byte(idToken), h.hintName())
	in.makeRoom(len(h.hintName()) + len(sealed))
	http.SetCookie(in.w, h.cookies.Set(h.hintName(), sealed, failedFor))
}

// takeHint returns the ID token that keepHint kept, "" if there is none, and drops it.
func (h *Handler) takeHint(in *incoming) string {
	sealed := request.CookieValue(in.r, h.hintName())
	if sealed == "" {
		return ""
	}
	http.SetCookie(in.w, h.cookies.Unset(h.hintName()))
	ring, err := h.config.Gate.Sessions.Keyring(in.r.Context())
	if err != nil {
		return ""
	}
	idToken, ok := ring.OpenText(sealHint, sealed, h.hintName())
	if !ok {
		return ""
	}
	return string(idToken)
}
