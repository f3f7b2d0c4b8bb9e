package op

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"unicode/utf8"
)

const (
	grantType = "authorization_code" // the only one
	bodyLimit = 8 << 10              // bytes of a token request
)

// tokenResponse is a successful answer (OIDC Core 1.0 section 3.1.3.3).
type tokenResponse struct {
	AccessToken string `json:"access_token"` // random; it opens nothing, but the specification wants one
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in"` // seconds
	IDToken     string `json:"id_token"`
}

// ServeToken answers <issuer>/token (OIDC Core 1.0 section 3.1.3): RomM
// redeems a code for an ID token. Nothing of the ID token comes from the
// request but the issuer, which is the address that RomM dialled. What it
// decided goes to Config.Report and State.Outcome. While storage does
// not give the keys it answers 503 within 2 s.
func (p *Provider) ServeToken(w http.ResponseWriter, r *http.Request) {
	if !allow(w, r, http.MethodPost) {
		return
	}
	response, known, err := p.exchange(w, r)
	if err == nil {
		p.config.Report(EventRedeemed, nil)
		writeJSON(w, http.StatusOK, response)
		return
	}
	event := EventStranger
	if known {
		event = EventRefused
	}
	p.config.Report(event, err)
	refusal, ok := errors.AsType[*refusalError](err)
	if !ok || refusal == errUnavailable {
		unavailable(w)
		return
	}
	if refusal.status == http.StatusUnauthorized { // RFC 6749 section 5.2, invalid_client
		w.Header().Set("WWW-Authenticate", `Basic realm="romm_oidc"`)
	}
	writeJSON(w, refusal.status, errorResponse{Error: refusal.code})
}

// exchange turns a token request into tokens. known reports whether it is
// RomM's, by its secret or by a code of ours: anybody may send another.
func (p *Provider) exchange(w http.ResponseWriter, r *http.Request) (response tokenResponse, known bool, err error) {
	form, err := readForm(w, r)
	known = p.authenticate(r, form) == nil
	if err != nil {
		return response, known, err
	}
	keys := p.state.soon(r.Context(), p.config.Report)
	if keys == nil {
		return response, known, errUnavailable
	}
	key, ok := keys.current(p.config.Algorithm, p.state.now())
	if !ok {
		return response, known, errUnavailable
	}
	code := form.Get("code")
	opened, genuine := p.openCode(keys.keyring, code)
	if refusal := p.check(r, form, genuine); refusal != nil {
		if genuine {
			p.state.refuse(code, opened, refusal.reason)
		}
		return response, known || genuine, refusal
	}
	// Signed before it is redeemed, so that a code is spent only for a token.
	response = tokenResponse{AccessToken: rand.Text(), TokenType: "Bearer", ExpiresIn: int64(idTokenLifetime.Seconds())}
	response.IDToken, err = p.sign(key, issuer(r), opened, response.AccessToken)
	if err != nil {
		p.state.refuse(code, opened, RefusalUnavailable)
		return tokenResponse{}, known, err
	}
	if err := p.state.redeem(code, opened); err != nil {
		return tokenResponse{}, known, err
	}
	return response, known, nil
}

// check refuses a token request for everything but the code's age and use.
// The client comes first: nobody else learns anything about a code.
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
	case form.Get("redirect_uri") != p.config.RedirectURI: // RFC 6749 section 4.1.3
		return errRedirectURI
	case !genuine:
		return errCode
	}
	return nil
}

// authenticate checks that the request comes from RomM (RFC 6749 section
// 2.3.1). Both parts are compared by their digests, in the same time whatever
// they are and however long.
func (p *Provider) authenticate(r *http.Request, form url.Values) *refusalError {
	id, secret := form.Get("client_id"), form.Get("client_secret")
	if r.Header.Get("Authorization") != "" {
		// RomM sends both parts as they are, not form-urlencoded, so a "%" or
		// a "+" in the secret is just that.
		user, password, _ := r.BasicAuth() // both empty, hence refused, for any other scheme
		user, password = fromLatin1(user), fromLatin1(password)
		if secret != "" || id != "" && id != user || len(r.Header.Values("Authorization")) > 1 {
			return errRequest // two methods at once (RFC 6749 section 2.3)
		}
		id, secret = user, password
	}
	sameID, sameSecret := equal(p.clientID, id), equal(p.clientSecret, secret)
	switch {
	case p.config.ClientID == "" || !sameID:
		return errClient
	case p.config.ClientSecret == "" || !sameSecret:
		return errSecret
	}
	return nil
}

func equal(digest [sha256.Size]byte, value string) bool {
	sum := sha256.Sum256([]byte(value))
	return subtle.ConstantTimeCompare(digest[:], sum[:]) == 1
}

// fromLatin1 returns credentials in UTF-8. RomM's client library encodes them
// in Latin-1, which differs for an umlaut in a secret.
func fromLatin1(value string) string {
	if utf8.ValidString(value) {
		return value
	}
	runes := make([]rune, len(value))
	for i := range len(value) {
		runes[i] = rune(value[i])
	}
	return string(runes)
}

// readForm returns the parameters of the body. Those of the query are not
// looked at (RFC 6749 section 2.3.1 forbids credentials there), and a
// parameter that comes twice is refused (section 3.2).
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
