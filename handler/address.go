// The addresses of the site: the public origin, and others for clients without
// a browser.

package handler

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"github.com/romm-oidc/caddy-romm-oidc/handler/problem"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// reached reports whether the request came to origin. The scheme is that of the
// connection, or what a trusted proxy says of its own.
func (h *Handler) reached(in *incoming, origin request.Origin) bool {
	return origin.HasHost(in.r.Host) && in.secure(origin) == origin.Secure()
}

// secure reports whether the client used TLS, as far as that matters for origin.
func (in *incoming) secure(origin request.Origin) bool {
	return in.r.TLS != nil || origin.Secure() && in.chain.TrustedProxy() && forwardedProto(in.r) == "https"
}

// forwardedProto returns the scheme that the client used, as a proxy tells it.
// In a row of proxies the first entry is that of the client.
func forwardedProto(r *http.Request) string {
	first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	return strings.ToLower(strings.TrimSpace(first))
}

// serveElsewhere answers a request that came to another address than the
// public origin. At the addresses of also, clients without a browser get what
// they get at the public origin; browsers are sent there, because a cookie of
// one origin is not sent to the other. No cookie is read or set.
func (h *Handler) serveElsewhere(in *incoming, own bool) error {
	for _, origin := range h.config.Also {
		if !h.reached(in, origin) {
			continue
		}
		if in.class() == request.Navigation {
			problem.Redirect(in.w, http.StatusFound, h.origin+in.chain.OriginalURI())
			return nil
		}
		if own || in.access() == application.Protected {
			break
		}
		if in.early() {
			return h.refuse(in, problem.TooEarly)
		}
		delete(in.r.Header, "Cookie")
		in.w = noCookies{in.w}
		return h.serveAnonymous(in)
	}
	return h.refuse(in, h.misdirected(in))
}

// noCookies is a response that sets no cookie.
type noCookies struct{ http.ResponseWriter }

// Unwrap lets http.ResponseController reach the server's own writer.
func (w noCookies) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader passes the header on without cookies.
func (w noCookies) WriteHeader(status int) {
	delete(w.Header(), "Set-Cookie")
	w.ResponseWriter.WriteHeader(status)
}

// ReadFrom keeps the way open for sendfile.
func (w noCookies) ReadFrom(from io.Reader) (int64, error) {
	return io.Copy(w.ResponseWriter, from) //nolint:wrapcheck // the caller says what it copied
}

// misdirected is problem.Misdirected with the address that was used, the right
// one, and the setting in which they differ.
func (h *Handler) misdirected(in *incoming) error {
	public, r := h.config.Origin, in.r
	came := request.Origin{Scheme: "http", Host: printable(r.Host)}
	if in.secure(public) {
		came.Scheme = "https"
	}
	var differs string
	proto := printable(forwardedProto(r))
	switch {
	case !public.HasHost(r.Host) && public.HasName(r.Host):
		differs = "The port differs. If a proxy in front of Caddy uses another port than Caddy, it must pass the Host header field on with the port that the browser sent; otherwise correct redirect_uri."
	case !public.HasHost(r.Host):
		differs = "The host differs. If a proxy in front of Caddy changes it, the proxy must pass the Host header field on as the browser sent it; otherwise correct redirect_uri. For clients without a browser at a second address, use the `also` setting."
	case !public.Secure():
		differs = "The scheme differs: correct redirect_uri, here and at the provider."
	case proto == "":
		differs = "The scheme differs, and there is no X-Forwarded-Proto. If a proxy in front of Caddy terminates TLS, it must send X-Forwarded-Proto: https, and trusted_proxies must list it."
	case !in.chain.TrustedProxy():
		differs = fmt.Sprintf("The scheme differs. X-Forwarded-Proto is %q, but it came from %s, which trusted_proxies does not list: list the proxy there.", proto, printable(in.r.RemoteAddr))
	default:
		differs = fmt.Sprintf("The scheme differs. trusted_proxies lists the proxy in front of Caddy, but its X-Forwarded-Proto is %q: it must send the scheme that the browser used.", proto)
	}
	refusal := problem.Misdirected.Because(fmt.Errorf("the request came to %s, and redirect_uri is at %s", came, public))
	refusal.Hint = fmt.Sprintf("Caddy got a request for %s; redirect_uri says %s. %s", came, public, differs)
	return refusal
}

// printable returns at most 200 bytes of s, with everything but printable ASCII replaced.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, s[:min(len(s), 200)])
}
