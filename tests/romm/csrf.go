// RomM's CSRF check and the cookie that belongs to it.

package romm

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
)

const csrfCookie = "romm_csrftoken"

var csrfExempt = regexp.MustCompile(`^/api/token.*|^/api/client-tokens/exchange|^/api/client-tokens/pair/.+/status|` +
	`^/api/auth/device/init/?$|^/api/auth/device/token/?$|^/ws|^/netplay`)

// csrfToken is the content of the signed cookie and of the header that must match
// it. UserID is nil for anonymous requests, and before 4.4.1 for all requests.
type csrfToken struct {
	Token  string `json:"token"`
	UserID *int   `json:"user_id"`
}

// csrfAllows checks every unsafe request, anonymous ones too, unless it is exempt or
// its Authorization header turns the check off. The credentials do not matter.
func (x *exchange) csrfAllows() bool {
	x.noCSRF = x.options.DisableCSRFProtection || x.csrfSkipped()
	switch x.r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	if x.noCSRF || csrfExempt.MatchString(x.r.URL.Path) {
		return true
	}
	value, _ := x.cookie(csrfCookie)
	kept, keptOK := x.openCSRF(value)
	sent, sentOK := x.openCSRF(x.r.Header.Get("X-Csrftoken"))
	if !keptOK || !sentOK || !hmac.Equal([]byte(kept.Token), []byte(sent.Token)) {
		return false
	}
	if !x.version.csrfBound() {
		return true
	}
	if !sameUser(kept.UserID, sent.UserID) {
		return false
	}
	if x.user == nil && x.version.csrfAnonymousRelaxed() {
		return true
	}
	return sameUser(kept.UserID, x.userID())
}

// csrfSkipped reports whether the Authorization header turns the check off. Up to
// 4.4.0 any does. After 5.2 none does for a request with a session.
func (x *exchange) csrfSkipped() bool {
	lines, given := x.r.Header["Authorization"]
	if !given || !x.version.csrfBound() {
		return given
	}
	if _, found := x.cookie(sessionCookie); found && x.version.csrfBesideSession() {
		return false
	}
	scheme, _, _ := strings.Cut(lines[0], " ")
	return strings.EqualFold(scheme, "bearer") || strings.EqualFold(scheme, "basic")
}

// writeCSRF issues the cookie when it is missing and, from 4.9, when it was issued
// for another user.
func (x *exchange) writeCSRF() {
	if !x.issueCSRF || x.noCSRF {
		return
	}
	if value, found := x.cookie(csrfCookie); found {
		kept, ok := x.openCSRF(value)
		if !x.version.csrfRefreshed() || ok && sameUser(kept.UserID, x.userID()) {
			return
		}
	}
	flags := "; Path=/; SameSite=lax"
	if x.options.SecureCookies && x.version.atLeast(5, 1, 0) {
		flags += "; Secure"
	}
	x.reply.Header().Add("Set-Cookie", csrfCookie+"="+x.sealCSRF(csrfToken{Token: randomHex(16), UserID: x.userID()})+flags)
}

func (x *exchange) userID() *int {
	if x.user == nil || !x.version.csrfBound() {
		return nil
	}
	return &x.user.ID
}

func sameUser(a, b *int) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

func (x *exchange) sealCSRF(token csrfToken) string {
	body, _ := json.Marshal(token) // a string and a number
	text := base64.RawURLEncoding.EncodeToString(body)
	return text + "." + x.csrfMAC(text)
}

func (x *exchange) openCSRF(value string) (csrfToken, bool) {
	var token csrfToken
	text, mac, found := strings.Cut(value, ".")
	if !found || !hmac.Equal([]byte(mac), []byte(x.csrfMAC(text))) {
		return token, false
	}
	body, err := base64.RawURLEncoding.DecodeString(text)
	return token, err == nil && json.Unmarshal(body, &token) == nil
}

func (x *exchange) csrfMAC(text string) string {
	mac := hmac.New(sha256.New, append([]byte("csrftoken"), x.secretKey()...))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}
