// The token endpoint: RomM redeems a code for an ID token.

package op

import (
	"crypto/rand"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	grantType = "authorization_code" // the only one
	bodyLimit = 8 << 10              // bytes of a token request
)

// tokenResponse is a successful answer
// (https://openid.net/specs/openid-connect-core-1_0.html#TokenResponse).
type tokenResponse struct {
	AccessToken string `json:"access_token"` // random and useless, but required
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in"` // seconds
	IDToken     string `json:"id_token"`
}

// ServeToken answers <issuer>/token
// (https://openid.net/specs/openid-connect-core-1_0.html#TokenEndpoint): RomM
// redeems a code for an ID token. Nothing in the ID token comes from the
// request except the issuer, which is the address that RomM dialed. The result
// goes to Config.Report and Outcome. It answers 503 if storage does not provide
// the signing keys within 2 s.
//
// Any client can send token requests. One without a code of this gate gets the
// same answer whether its secret is right or wrong.
func (p *Provider) ServeToken(w http.ResponseWriter, r *http.Request) {
	if !allow(w, r, http.MethodPost) {
		return
	}
	answer, err := p.issueToken(w, r)
	if err == nil {
		p.config.Report(Event{Name: eventRedeemed})
		writeJSON(w, http.StatusOK, answer.tokenResponse)
		return
	}
	refusal, ok := errors.AsType[*refusalError](err)
	event := eventUnknown
	if answer.known || answer.genuine {
		event = eventRefused
	}
	p.config.Report(Event{event, err})
	if !ok || refusal == errUnavailable {
		writeUnavailable(w)
		return
	}
	if !answer.genuine {
		if wait := p.config.Limit(r); wait > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
			refusal = errLimited
		}
	}
	if refusal.status == http.StatusUnauthorized { // RFC 6749 section 5.2, invalid_client; only RomM gets here
		w.Header().Set("WWW-Authenticate", `Basic realm="romm_oidc"`)
	}
	writeJSON(w, refusal.status, errorResponse{Error: refusal.code})
}

// tokenAnswer is a response, or what is known of a refused request.
type tokenAnswer struct {
	tokenResponse
	known   bool // it has RomM's secret
	genuine bool // it has a code of this gate, which only RomM gets
}

// issueToken turns a token request into a response.
func (p *Provider) issueToken(w http.ResponseWriter, r *http.Request) (answer tokenAnswer, err error) {
	form, err := readForm(w, r)
	client := p.authenticate(r, form)
	answer.known = client == nil
	if err != nil {
		return answer, err
	}
	keys := p.keys.awaitBriefly(r.Context(), p.config.Report)
	if keys == nil {
		return answer, errUnavailable
	}
	key, ok := keys.signer(p.config.Algorithm, p.keys.now())
	if !ok {
		return answer, errUnavailable
	}
	code := form.Get("code")
	content, genuine := p.openCode(keys.keyring, code)
	answer.genuine = genuine
	if genuine && client != nil {
		p.codes.refuse(code, content, client.reason)
		return answer, client
	}
	if refusal := p.check(form, genuine); refusal != nil {
		if genuine {
			p.codes.refuse(code, content, refusal.reason)
		}
		return answer, refusal
	}
	// Sign before redeeming, so that a code is used up only for a token.
	response := tokenResponse{AccessToken: rand.Text(), TokenType: "Bearer", ExpiresIn: int64(idTokenLifetime.Seconds())}
	response.IDToken, err = p.idToken(key, p.issuer(r), content, response.AccessToken)
	if err != nil {
		p.codes.refuse(code, content, reasonUnavailable)
		return answer, err
	}
	if err := p.codes.redeem(code, content); err != nil {
		return answer, err
	}
	answer.tokenResponse = response
	return answer, nil
}

// check checks everything about a token request except the client, which
// matters with a genuine code only, and the code's age and use.
func (p *Provider) check(form url.Values, genuine bool) *refusalError {
	switch {
	case form.Get("grant_type") == "":
		return errRequest
	case form.Get("grant_type") != grantType:
		return errGrantType
	case form.Get("redirect_uri") == "" || form.Get("code") == "":
		return errRequest
	case form.Get("redirect_uri") != p.config.RedirectURI: // https://datatracker.ietf.org/doc/html/rfc6749#section-4.1.3
		return errRedirectURI
	case !genuine:
		return errCode
	}
	return nil
}

// readForm returns the parameters in the body. It ignores the query, where RFC
// 6749 section 2.3.1 forbids credentials, and refuses repeated parameters
// (https://datatracker.ietf.org/doc/html/rfc6749#section-3.2).
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/x-www-form-urlencoded" || r.Host == "" {
		return nil, errRequest
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyLimit))
	if err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return nil, errTooLarge
		}
		return nil, errRequest
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, errRequest
	}
	for _, values := range form {
		if len(values) > 1 {
			return nil, errRequest
		}
	}
	return form, nil
}
