// The token endpoint: RomM redeems a code for an ID token.

package op

import (
	"crypto/rand"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
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
func (p *Provider) ServeToken(w http.ResponseWriter, r *http.Request) {
	if !allow(w, r, http.MethodPost) {
		return
	}
	response, known, err := p.issueToken(w, r)
	if err == nil {
		p.config.Report(Event{Name: eventRedeemed})
		writeJSON(w, http.StatusOK, response)
		return
	}
	event := eventUnknown
	if known {
		event = eventRefused
	}
	p.config.Report(Event{event, err})
	refusal, ok := errors.AsType[*refusalError](err)
	if !ok || refusal == errUnavailable {
		writeUnavailable(w)
		return
	}
	if refusal.status == http.StatusUnauthorized { // RFC 6749 section 5.2, invalid_client
		w.Header().Set("WWW-Authenticate", `Basic realm="romm_oidc"`)
	}
	writeJSON(w, refusal.status, errorResponse{Error: refusal.code})
}

// issueToken turns a token request into a response. known reports whether the
// request comes from RomM, as shown by its secret or by a code of this gate:
// any other client can send requests too.
func (p *Provider) issueToken(w http.ResponseWriter, r *http.Request) (response tokenResponse, known bool, err error) {
	form, err := readForm(w, r)
	known = p.authenticate(r, form) == nil
	if err != nil {
		return response, known, err
	}
	keys := p.keys.awaitBriefly(r.Context(), p.config.Report)
	if keys == nil {
		return response, known, errUnavailable
	}
	key, ok := keys.signer(p.config.Algorithm, p.keys.now())
	if !ok {
		return response, known, errUnavailable
	}
	code := form.Get("code")
	content, genuine := p.openCode(keys.keyring, code)
	if refusal := p.check(r, form, genuine); refusal != nil {
		if genuine {
			p.codes.refuse(code, content, refusal.reason)
		}
		return response, known || genuine, refusal
	}
	// Sign before redeeming, so that a code is used up only for a token.
	response = tokenResponse{AccessToken: rand.Text(), TokenType: "Bearer", ExpiresIn: int64(idTokenLifetime.Seconds())}
	response.IDToken, err = p.idToken(key, p.issuer(r), content, response.AccessToken)
	if err != nil {
		p.codes.refuse(code, content, reasonUnavailable)
		return tokenResponse{}, known, err
	}
	if err := p.codes.redeem(code, content); err != nil {
		return tokenResponse{}, known, err
	}
	return response, known, nil
}

// check checks everything about a token request except the code's age and use.
// The client comes first: only RomM may learn anything about a code.
func (p *Provider) check(r *http.Request, form url.Values, genuine bool) *refusalError {
	if refusal := p.authenticate(r, form); refusal != nil {
		return refusal
	}
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
