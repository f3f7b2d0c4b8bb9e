// Credentials of clients without a browser: which RomM may get, and which it knows.

package romm

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

// credential is the kind of credential in an Authorization header field.
type credential int

const (
	noCredential credential = iota // none, or none that RomM can read; it answers 500 to some of those
	clientToken                    // a RomM client token
	basicAuth                      // a user name and a password
	accessToken                    // any other bearer token
	rommJWT                        // a JWT that RomM issued for a user name and a password
)

// tokenPrefix begins a RomM client token; 64 lower-case hex digits follow.
const tokenPrefix = "rmm_"

// credentialOf returns the kind of r's credential, noCredential unless r has
// exactly one Authorization field.
func credentialOf(r *http.Request) credential {
	if lines := r.Header["Authorization"]; len(lines) == 1 {
		return credentialIn(lines[0])
	}
	return noCredential
}

// credentialIn returns the kind of the credential in an Authorization field.
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

// isPassword reports whether s is a user name and a password ([RFC 7617 section
// 2]).
//
// [RFC 7617 section 2]: https://www.rfc-editor.org/rfc/rfc7617#section-2
func isPassword(s string) bool {
	pair, err := base64.StdEncoding.DecodeString(s)
	return err == nil && utf8.Valid(pair) && strings.Contains(string(pair), ":")
}

// isBearer reports whether s is a b64token of at most 16 KiB ([RFC 6750 section
// 2.1]).
//
// [RFC 6750 section 2.1]: https://www.rfc-editor.org/rfc/rfc6750#section-2.1
func isBearer(s string) bool {
	token := strings.TrimRight(s, "=")
	return token != "" && len(s) <= 16<<10 && !strings.HasPrefix(s, tokenPrefix) && !strings.ContainsFunc(token, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-._~+/", c)
	})
}

// isRommJWT reports whether s looks like a JWT that RomM issued; RomM signs with
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

// accepts reports whether r brings a credential of a kind that the gate asks RomM
// about. known is the route of r, nil if it has none. RomM is never asked about a
// password that the operator did not let in: the answer would tell whether it is
// right.
func (a *App) accepts(r *http.Request, known *route) bool {
	switch credentialOf(r) {
	case basicAuth:
		return a.config.Clients[ClientsPassword] || known != nil && known.password
	case rommJWT:
		return a.config.Clients[ClientsPassword]
	case clientToken:
		return a.isWithin(v48, version{}) // earlier releases would take it for a JWT that they cannot read
	case noCredential, accessToken:
	}
	return false
}

// Recognize asks RomM for the owner of a credential. RomM handles an unknown
// client token as an anonymous request: 401 after 5.1.0, 403 before. It also
// answers 403 to a token without the permission to read its own account, and 500
// to a JWT that it did not sign or no longer accepts, to a password for an
// account without one, and to every credential while its database is away.
//
// If RomM could tell but fails to do so now, Recognize returns an error. An
// attacker must not be able to guess for free, or to reach with an unknown token
// what RomM leaves open, while RomM is busy, and a credential of an unknown
// owner may belong to a user who is shut out. RomM up to 5.1.0 cannot tell
// for a client token: if it does not answer, the token passes while no account is
// shut. Later releases do not name the owner of a credential that may not read its
// account: that credential passes while no account is shut.
func (a *App) Recognize(ctx context.Context, call application.Caller, authorization string) (application.Recognition, string, error) {
	c, refusal := credentialIn(authorization), *errBusy
	if _, token, _ := strings.Cut(authorization, " "); c == rommJWT && readToken(token).outdated(a.now()) {
		return application.Unrecognized, "", nil
	}
	answer, err := call(ctx, application.Call{
		Method: http.MethodGet, Target: "/api/users/me", Header: http.Header{"Authorization": {authorization}}, Limit: accountLimit,
	})
	if err == nil {
		switch {
		case answer.Status == http.StatusOK:
			return a.owner(ctx, authorization, answer)
		case answer.Status == http.StatusForbidden && c != basicAuth:
			return a.unnamed(ctx, call, authorization)
		case answer.Status == http.StatusUnauthorized,
			// A password always has the permission to read its own account.
			answer.Status == http.StatusForbidden,
			answer.Status == http.StatusInternalServerError && c != clientToken && a.readsAccounts(ctx, call):
			return application.Unrecognized, "", nil
		}
		err = seen("GET /api/users/me", answer)
		refusal.Away = answer.Status >= http.StatusInternalServerError || answer.Status == http.StatusTooManyRequests || answer.Status == http.StatusRequestTimeout
	}
	if c != basicAuth && a.cannotTell() && a.noneShut(ctx) {
		return application.Undecided, "", nil
	}
	return application.Undecided, "", refusal.Because(err)
}

// readsAccounts reports whether RomM can read its database, and so tell a wrong
// password from a right one: it must refuse a name that no account has.
func (a *App) readsAccounts(ctx context.Context, call application.Caller) bool {
	return isRefusal(a.statusOfPassword(ctx, call, rand.Text()))
}

// statusOfPassword returns the status of RomM's answer to a wrong password for
// username, 0 if there is no answer.
func (a *App) statusOfPassword(ctx context.Context, call application.Caller, username string) int {
	wrong := base64.StdEncoding.EncodeToString([]byte(username + ":" + rand.Text()))
	answer, err := call(ctx, application.Call{
		Method: http.MethodGet, Target: "/api/users/me", Header: http.Header{"Authorization": {"Basic " + wrong}},
	})
	if err != nil {
		return 0
	}
	return answer.Status
}

// isRefusal reports whether status is RomM's answer to an anonymous request.
// Releases up to 5.1.0 answer 403.
func isRefusal(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}

// noneShut reports whether no account is shut, as far as storage tells. It takes no part
// of the time that ctx has left, which RomM has used up.
func (a *App) noneShut(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockTimeout)
	defer cancel()
	some, err := a.config.Links.someShut(ctx)
	return err == nil && !some
}

// owner returns whether the account in answer may use its credentials, and its
// key. RomM answered, so its errors are not those of a RomM that is away.
func (a *App) owner(ctx context.Context, authorization string, answer *application.Answer) (application.Recognition, string, error) {
	refusal := *errBusy
	refusal.Away = false
	user, err := accountIn("GET /api/users/me", answer)
	if user != nil && user.ID < 0 {
		return application.Undecided, "", nil // kiosk mode: RomM answers as to an anonymous request
	}
	if err != nil {
		return application.Undecided, "", refusal.Because(err)
	}
	shut, err := a.isShut(ctx, user)
	if err != nil {
		return application.Undecided, "", refusal.Because(err)
	}
	issuedFor, err := a.holder(ctx, authorization)
	switch {
	case err != nil:
		return application.Undecided, "", refusal.Because(err)
	case shut, issuedFor != "" && issuedFor != user.key():
		return application.Unrecognized, "", nil
	}
	return application.Recognized, user.key(), nil
}

// unnamed returns whether a credential may be used that has no permission to read
// its own account, so that RomM does not name the account. RomM up to 5.1.0 answers
// an unknown credential in the same way.
func (a *App) unnamed(ctx context.Context, call application.Caller, authorization string) (application.Recognition, string, error) {
	refusal := *errBusy
	refusal.Away = false
	known := a.refusesWith401(ctx, call)
	account, err := a.holder(ctx, authorization)
	if err != nil {
		return application.Undecided, "", refusal.Because(err)
	}
	if account == "" && !known {
		if a.cannotTell() {
			return application.Undecided, "", nil
		}
		return application.Undecided, "", refusal.Because(errNoRelease)
	}
	shut, err := a.IsShut(ctx, authorization, account)
	switch {
	case errors.Is(err, errOwnerUnknown):
		return application.Undecided, "", err
	case err != nil:
		return application.Undecided, "", refusal.Because(err)
	case shut:
		return application.Unrecognized, "", nil
	case !known:
		return application.Undecided, "", nil
	}
	return application.Recognized, account, nil
}

// errNoRelease is why RomM's answer to a credential says nothing.
var errNoRelease = errors.New("GET /api/users/me answered 403, and RomM's release is unknown")

// cannotTell reports whether RomM's last known release answers an unknown token
// like one with few permissions.
func (a *App) cannotTell() bool {
	beat := a.config.Release.heartbeat.Load()
	return beat != nil && beat.release.known() && !beat.release.answers401()
}

// refusesWith401 reports whether this RomM answers anonymous requests with 401, so
// that 403 proves that it knows the credential. A release without a number is
// taken for the newest.
func (a *App) refusesWith401(ctx context.Context, call application.Caller) bool {
	release := a.release(ctx, call)
	return release.answers401() || !release.known() && a.config.Release.heartbeat.Load() != nil
}
