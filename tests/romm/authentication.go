// How RomM authenticates a request: session, Basic, client token or JWT.

package romm

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// authenticate sets the request's user: from a live session, or else from the
// Authorization header, or else in kiosk mode a user with read scopes. An error is
// a crash, on public paths too.
func (x *exchange) authenticate() error {
	if data := x.session.data; data.Issuer == sessionIssuer && data.Subject != "" {
		if u, ok := x.accounts.byName(data.Subject); ok && !u.Disabled {
			x.become(u, x.scopesOf(u), data.DeviceID)
			return nil
		}
		x.session.data = sessionData{}
	}
	if header := x.r.Header.Get("Authorization"); header != "" {
		parts := strings.Fields(header)
		switch {
		case len(parts) != 2 && x.version.atLeast(4, 9, 0):
			return nil
		case len(parts) != 2:
			return errUnhandled
		case strings.EqualFold(parts[0], "basic"):
			return x.authenticateBasic(parts[1])
		case strings.EqualFold(parts[0], "bearer"):
			if strings.HasPrefix(parts[1], clientTokenPrefix) && x.version.clientTokens() {
				x.authenticateClientToken(parts[1])
				return nil
			}
			return x.authenticateJWT(parts[1])
		}
	}
	if x.options.Kiosk {
		kiosk := User{ID: -1, Username: "kiosk", Role: x.version.lowestRole()}
		x.become(kiosk, x.known(readScopes()), "")
	}
	return nil
}

func (x *exchange) become(u User, scopes []string, deviceID string) {
	x.user, x.scopes, x.deviceID = &u, scopes, deviceID
}

func (x *exchange) authenticateBasic(credentials string) error {
	decoded, err := base64.StdEncoding.DecodeString(credentials)
	if err != nil {
		return errUnhandled
	}
	name, password, _ := strings.Cut(string(decoded), ":")
	u, ok, err := x.checkPassword(name, password)
	if err == nil && ok && !u.Disabled {
		x.become(u, x.scopesOf(u), "")
	}
	return err
}

// checkPassword crashes up to 5.2 on an account that OpenID Connect created, because
// its stored password is not a hash.
func (s *Server) checkPassword(name, password string) (u User, ok bool, err error) {
	u, found := s.accounts.byName(name)
	switch {
	case !found:
		return u, false, nil
	case u.Password == "" && s.version.placeholdersRefused():
		return u, false, nil
	case u.Password == "":
		return u, false, errUnhandled
	}
	return u, subtle.ConstantTimeCompare([]byte(u.Password), []byte(password)) == 1, nil
}

// authenticateClientToken leaves the request anonymous if the token is invalid.
func (x *exchange) authenticateClientToken(raw string) {
	token, ok := x.tokens.find(raw, x.options.Now())
	if !ok {
		return
	}
	if u, ok := x.accounts.byID(token.userID); ok && !u.Disabled {
		x.become(u, intersect(token.scopes, x.scopesOf(u)), token.deviceID)
	}
}

// authenticateJWT crashes on most invalid tokens, where a 401 would be right.
func (x *exchange) authenticateJWT(raw string) error {
	claims, err := x.openToken(raw)
	if err != nil {
		return err
	}
	if claims["iss"] != tokenIssuer {
		return nil
	}
	name, ok := claims["sub"].(string)
	if !ok {
		return errUnhandled
	}
	u, found := x.accounts.byName(name)
	if !found || u.Disabled {
		return errUnhandled
	}
	if claims["type"] != "access" {
		return nil
	}
	var scopes string
	if given, found := claims["scopes"]; found {
		if scopes, ok = given.(string); !ok {
			return errUnhandled
		}
	}
	x.become(u, intersect(strings.Fields(scopes), x.scopesOf(u)), "")
	return nil
}

// openToken verifies an access or refresh token's signature, which may have padding,
// and, from 4.8, its expiry.
func (s *Server) openToken(raw string) (map[string]any, error) {
	token, err := jose.ParseSignedCompact(strings.TrimRight(raw, "="), []jose.SignatureAlgorithm{jose.HS256})
	if err != nil {
		return nil, errUnhandled
	}
	payload, err := token.Verify(s.secretKey())
	if err != nil {
		return nil, errUnhandled
	}
	var claims map[string]any
	if json.Unmarshal(payload, &claims) != nil {
		return nil, errUnhandled
	}
	if s.version.bearerExpiry() {
		expires, ok := claims["exp"].(float64)
		if !ok || float64(s.options.Now().Unix()) > expires {
			return nil, errUnhandled
		}
	}
	return claims, nil
}

// sign signs claims as RomM signs all of them: HS256 with the bytes of its secret
// key.
func (s *Server) sign(claims any) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: s.secretKey()},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		panic(err) // a byte slice is always a key for HS256
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err) // strings and numbers
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		panic(err) // no randomness, no I/O
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		panic(err) // one signature, no unprotected header
	}
	return text
}
