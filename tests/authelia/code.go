// Authorization codes: issuing one, and the checks at its redemption, PKCE included.

package authelia

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// code is an authorization code. Used codes are kept, so that a second use revokes the tokens of the first one.
type code struct {
	grant       *grant
	redirectURI string
	challenge   string
	expires     time.Time
	used        bool
	burnt       bool // a wrong verifier was tried
}

// grantCode issues a code, after the checks that the original leaves until the user has signed in and consented.
func (s *Server) grantCode(a *authorization, sess *session) answer {
	if refusal := s.checkLate(a); refusal != nil {
		return s.deliverError(a, refusal)
	}
	u := s.active(sess.username)
	if u == nil {
		return s.deliverError(a, errServerError.with("Could not obtain the users details."))
	}
	now := s.now()
	g := &grant{
		clientID:      a.client.ID,
		username:      u.Name,
		subject:       s.subject(u.Name),
		scopes:        slices.Clone(a.scopes),
		nonce:         a.query.Get("nonce"),
		acr:           a.query.Has("acr_values"),
		authenticated: sess.authenticated,
		issued:        now,
		claims:        map[string]any{},
	}
	if s.misbehaviour.StrictOffline && !slices.Contains(a.prompts, "consent") {
		g.scopes = slices.DeleteFunc(g.scopes, func(scope string) bool { return scope == "offline_access" })
	}
	for name, value := range u.claims(a.scopes, now.Unix()) {
		if slices.Contains(a.client.ClaimsPolicy, name) {
			g.claims[name] = value
		}
	}
	if pushed := s.pushed[a.query.Get("request_uri")]; pushed != nil {
		pushed.used = true
	}
	value := newOpaque("authelia_ac_")
	s.codes[value] = &code{
		grant:       g,
		redirectURI: a.redirectURI,
		challenge:   a.query.Get("code_challenge"),
		expires:     now.Add(s.lifespans.Code),
	}
	return s.deliver(a, url.Values{"code": {value}, "scope": {strings.Join(a.scopes, " ")}})
}

// checkLate returns what the original refuses only after sign-in and consent.
func (s *Server) checkLate(a *authorization) *oauthError {
	for _, prompt := range a.prompts {
		if !slices.Contains([]string{"consent", "login", "none", "select_account"}, prompt) {
			return errInvalidRequest.with("Used unknown value '" + prompt + "' for prompt parameter.")
		}
	}
	if slices.Contains(a.prompts, "none") && len(a.prompts) > 1 {
		return errInvalidRequest.with("Parameter 'prompt' was set to 'none', but contains other values as well which is not allowed.")
	}
	if claims := a.query.Get("claims"); claims != "" && !json.Valid([]byte(claims)) {
		return errInvalidRequest.with("The 'claims' parameter is malformed.")
	}
	if _, err := s.hinted(a); err != nil {
		return errInvalidRequest.with("The 'id_token_hint' could not be verified.")
	}
	challenge, method := a.query.Get("code_challenge"), a.query.Get("code_challenge_method")
	switch {
	case challenge == "" && (a.client.RequirePKCE || method != ""):
		return errInvalidRequest.with("Clients must include a 'code_challenge' when performing the authorize code flow, but it is missing.")
	case challenge != "" && method != "S256":
		return errInvalidRequest.with("Clients must use the 'S256' value for 'code_challenge_method', plain is not allowed.")
	}
	return nil
}

// hinted returns the sub of the id_token_hint, or "" without a hint.
func (s *Server) hinted(a *authorization) (string, error) {
	hint := a.query.Get("id_token_hint")
	if hint == "" {
		return "", nil
	}
	key := s.keys.find(a.client.Alg)
	jws, err := jose.ParseSignedCompact(hint, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(key.Algorithm)})
	if err != nil {
		return "", err
	}
	payload, err := jws.Verify(key.Public())
	if err != nil {
		return "", err
	}
	var claims struct {
		Subject string `json:"sub"`
	}
	err = json.Unmarshal(payload, &claims)
	return claims.Subject, err
}

// redeem checks a code for the token endpoint (RFC 6749 4.1.3, RFC 7636 4.6).
func (s *Server) redeem(c *Client, form url.Values) (*grant, *oauthError) {
	issued := s.codes[form.Get("code")]
	switch {
	case issued == nil:
		return nil, &errInvalidGrant
	case issued.used:
		issued.grant.revoked = true // RFC 6749 4.1.2: either use may be the attacker's
		return nil, errInvalidGrant.with("The authorization code has already been used.")
	case !s.now().Before(issued.expires):
		return nil, &errInvalidGrant
	case issued.grant.clientID != c.ID:
		return nil, errInvalidGrant.with("The OAuth 2.0 Client ID from this request does not match the one from the authorize request.")
	case form.Has("redirect_uri") && form.Get("redirect_uri") != issued.redirectURI: // omitted is accepted
		return nil, errInvalidGrant.with("The 'redirect_uri' from this request does not match the one from the authorize request.")
	}
	if refusal := issued.prove(form.Get("code_verifier")); refusal != nil {
		return nil, refusal
	}
	issued.used = true
	return issued.grant, nil
}

// prove verifies the code_verifier. A failure burns the code.
func (c *code) prove(verifier string) *oauthError {
	if c.burnt {
		return errInvalidGrant.with("Unable to find initial PKCE data tied to this request.")
	}
	if c.challenge == "" && verifier == "" {
		return nil
	}
	hash := sha256.Sum256([]byte(verifier))
	if c.challenge != "" && len(verifier) >= 43 && subtle.ConstantTimeCompare([]byte(encode(hash[:])), []byte(c.challenge)) == 1 {
		return nil
	}
	c.burnt = true
	switch {
	case c.challenge == "":
		return errInvalidGrant.with("The PKCE code verifier was provided but the code challenge was absent from the authorization request.")
	case verifier == "":
		return errInvalidGrant.with("The PKCE code verifier was absent.")
	case len(verifier) < 43:
		return errInvalidGrant.with("The PKCE code verifier must be at least 43 characters.")
	}
	return errInvalidGrant.with("The PKCE code challenge did not match the code verifier.")
}
