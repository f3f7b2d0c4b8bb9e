// How RomM's client library verifies an ID token.

package romm

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const idTokenLeeway = 120 * time.Second

// claims is an ID token's payload. Numbers are float64.
type claims map[string]any

// verify validates an ID token as RomM's client library does (OpenID Connect Core
// 1.0 section 3.1.3.7, with its own reading of aud and azp).
func (p *provider) verify(ctx context.Context, meta *providerMetadata, answer *tokenResponse, nonce string, now time.Time) (claims, error) {
	token, err := jose.ParseSignedCompact(answer.IDToken, algorithms(meta))
	if err != nil {
		return nil, fmt.Errorf("parsing the ID token: %w", err)
	}
	header := token.Signatures[0].Protected
	key, err := p.key(ctx, meta, header.KeyID)
	if err != nil {
		return nil, err
	}
	payload, err := token.Verify(key)
	if err != nil {
		return nil, fmt.Errorf("verifying the ID token: %w", err)
	}
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return nil, fmt.Errorf("decoding the ID token: %w", err)
	}
	return c, errors.Join(
		c.checkPresence(),
		c.checkParties(meta.Issuer, p.oidc.ClientID),
		c.checkTimes(now),
		c.checkNonce(nonce),
		c.checkAccessToken(header.Algorithm, answer.AccessToken),
	)
}

// algorithms returns the algorithms in the metadata, or RS256 if it has none.
func algorithms(meta *providerMetadata) []jose.SignatureAlgorithm {
	if meta.Algorithms == nil {
		return []jose.SignatureAlgorithm{jose.RS256}
	}
	var usable []jose.SignatureAlgorithm
	for _, name := range meta.Algorithms {
		if name != "none" && !strings.HasPrefix(name, "HS") {
			usable = append(usable, jose.SignatureAlgorithm(name))
		}
	}
	return usable
}

func (c claims) checkPresence() error {
	for _, name := range []string{"iss", "sub", "aud", "exp", "iat"} {
		if value := c[name]; value == nil || value == "" {
			return fmt.Errorf("claim %q is missing", name)
		}
	}
	return nil
}

// checkParties accepts any audience if azp is the client.
func (c claims) checkParties(issuer, clientID string) error {
	if issuer != "" && c["iss"] != issuer {
		return errors.New("wrong issuer")
	}
	audience := c["aud"]
	if list, ok := audience.([]any); ok && len(list) == 1 {
		audience = list[0]
	}
	azp, given := c["azp"]
	switch {
	case given && azp != clientID:
		return errors.New("wrong azp")
	case !given && audience != clientID:
		return errors.New("azp is missing")
	}
	return nil
}

func (c claims) checkTimes(now time.Time) error {
	for _, name := range []string{"exp", "iat", "nbf", "auth_time"} {
		value, given := c[name]
		if !given {
			continue
		}
		seconds, ok := value.(float64)
		at := time.Unix(int64(seconds), 0)
		switch {
		case !ok:
			return fmt.Errorf("claim %q is not a number", name)
		case name == "exp" && at.Before(now.Add(-idTokenLeeway)):
			return errors.New("expired")
		case (name == "iat" || name == "nbf") && at.After(now.Add(idTokenLeeway)):
			return fmt.Errorf("claim %q is in the future", name)
		}
	}
	if amr, given := c["amr"]; given {
		if _, ok := amr.([]any); !ok {
			return errors.New("claim \"amr\" is not a list")
		}
	}
	return nil
}

func (c claims) checkNonce(nonce string) error {
	if c["nonce"] != nonce {
		return errors.New("wrong nonce")
	}
	return nil
}

// checkAccessToken compares at_hash, if the token has it (OpenID Connect Core 1.0
// section 3.1.3.8).
func (c claims) checkAccessToken(algorithm, accessToken string) error {
	given, found := c["at_hash"]
	if !found || accessToken == "" {
		return nil
	}
	var sum []byte
	switch {
	case strings.HasSuffix(algorithm, "256"):
		digest := sha256.Sum256([]byte(accessToken))
		sum = digest[:]
	case strings.HasSuffix(algorithm, "384"):
		digest := sha512.Sum384([]byte(accessToken))
		sum = digest[:]
	default:
		digest := sha512.Sum512([]byte(accessToken))
		sum = digest[:]
	}
	if given != base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2]) {
		return errors.New("wrong at_hash")
	}
	return nil
}

// has is Python's "in": an element of a list, a part of a string or a key of an
// object. Anything else is an exception.
func has(container any, value string) (bool, error) {
	switch c := container.(type) {
	case []any:
		return slices.Contains(c, any(value)), nil
	case string:
		return strings.Contains(c, value), nil
	case map[string]any:
		_, found := c[value]
		return found, nil
	}
	return false, errUnhandled
}

// falsy reports whether Python would take value for false.
func falsy(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case bool:
		return !v
	case string:
		return v == ""
	case float64:
		return v == 0
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}
