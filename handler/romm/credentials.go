package romm

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

// credential is the kind of what stands in an Authorization header field.
type credential int

const (
	noCredential credential = iota // nothing that RomM could read: it answers 500 to some of that
	clientToken                    // "rmm_" and 64 lower-case hex digits
	basicAuth                      // a name and a password
	accessToken                    // anything else that can be a bearer token
	rommJWT                        // what RomM gave for them at its token endpoint
)

// tokenPrefix begins a RomM client token; 64 lower-case hex digits follow.
const tokenPrefix = "rmm_"

// credentialOf tells what r carries; exactly one, well formed.
func credentialOf(r *http.Request) credential {
	if lines := r.Header["Authorization"]; len(lines) == 1 {
		return credentialIn(lines[0])
	}
	return noCredential
}

func credentialIn(authorization string) credential {
	scheme, value, _ := strings.Cut(authorization, " ")
	switch {
	case strings.EqualFold(scheme, "basic"):
		if isPassword(value) {
			return basicAuth
		}
	case !strings.EqualFold(scheme, "bearer"):
	case isClientToken(value):
		return clientToken
	case isRommJWT(value):
		return rommJWT
	case isBearer(value):
		return accessToken
	}
	return noCredential
}

func isClientToken(s string) bool {
	digits, ok := strings.CutPrefix(s, tokenPrefix)
	return ok && len(digits) == 64 && strings.Trim(digits, "0123456789abcdef") == ""
}

// isPassword reports whether s is the credentials of RFC 7617 section 2.
func isPassword(s string) bool {
	pair, err := base64.StdEncoding.DecodeString(s)
	return err == nil && utf8.Valid(pair) && strings.Contains(string(pair), ":")
}

// isBearer reports whether s is a b64token of bounded length (RFC 6750 section 2.1).
func isBearer(s string) bool {
	token := strings.TrimRight(s, "=")
	return token != "" && len(s) <= 16<<10 && !strings.HasPrefix(s, tokenPrefix) && !strings.ContainsFunc(token, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-._~+/", c)
	})
}

// isRommJWT reports whether s looks like a JWT of RomM's own, which signs with
// HS256 only.
func isRommJWT(s string) bool {
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return false
	}
	for _, part := range parts {
		if part == "" {
			return false
		}
		if _, err := base64.RawURLEncoding.DecodeString(part); err != nil {
			return false
		}
	}
	header, _ := base64.RawURLEncoding.DecodeString(parts[0])
	var h struct {
		Algorithm string `json:"alg"`
	}
	return json.Unmarshal(header, &h) == nil && h.Algorithm == "HS256"
}

// accepts reports whether r may pass with its credential, once RomM has
// recognized it. known is the route of r, nil if it has none.
func (a *App) accepts(r *http.Request, path string, plain bool, known *route) bool {
	switch credentialOf(r) {
	case noCredential, accessToken:
		return false
	case basicAuth:
		if !a.config.Clients[ClientsPassword] && (known == nil || !known.password) {
			return false
		}
	case rommJWT:
		if !a.config.Clients[ClientsPassword] {
			return false
		}
	case clientToken:
		if !a.isWithin(v48, version{}) { // it would be a JWT that RomM cannot read
			return false
		}
	}
	return known != nil || isAPI(r, path, plain)
}

// Recognize asks RomM whose authorization is. RomM takes an unknown client
// token for nobody's, which is 401 from 5.2 on; before, and where the token's
// owner did not allow it to read the account, it is 403. It answers 500 to a
// JWT that it did not sign, or no longer accepts, and to a password for an
// account that has none.
//
// What RomM could tell but does not say now, because it fails or is slow, is an
// error: guessing must not be free, nor open what RomM leaves open to nobody's
// token, while RomM is busy. Up to 5.1.0 it could not tell of a token.
func (a *App) Recognize(ctx context.Context, call application.Caller, authorization string) (application.Recognition, error) {
	const what = "GET /api/users/me"
	c := credentialIn(authorization)
	answer, err := call(ctx, application.Call{
		Method: http.MethodGet, Target: "/api/users/me", Header: http.Header{"Authorization": {authorization}},
	})
	if err == nil {
		var user account
		switch {
		case answer.Status == http.StatusOK && json.Unmarshal(answer.Body, &user) == nil && user.ID > 0:
			if a.isShut(ctx, &user) {
				return application.Unrecognized, nil
			}
			return application.Recognized, nil
		case answer.Status == http.StatusForbidden && c != basicAuth && a.answers401(ctx, call):
			return application.Recognized, nil
		case answer.Status == http.StatusUnauthorized,
			// Whoever has a password may read their own account.
			answer.Status == http.StatusForbidden && c == basicAuth,
			answer.Status == http.StatusInternalServerError && c != clientToken:
			return application.Unrecognized, nil
		}
		if c != basicAuth && answer.Status < http.StatusInternalServerError {
			return application.Undecided, nil
		}
		err = seen(what, answer)
	}
	if c != basicAuth && a.cannotTell() {
		return application.Undecided, nil
	}
	return application.Undecided, errBusy.Because(err)
}

// cannotTell reports whether RomM was last seen to be a release that answers
// nobody's token like one that may do little.
func (a *App) cannotTell() bool {
	beat := a.config.Known.heartbeat.Load()
	if beat == nil {
		return false
	}
	release, ok := parseVersion(beat.System.Version)
	return ok && !release.answers401()
}

// answers401 reports whether this RomM answers 401 to nobody, so that 403
// is for somebody.
func (a *App) answers401(ctx context.Context, call application.Caller) bool {
	release, ok := a.release(ctx, call)
	return ok && release.answers401()
}
