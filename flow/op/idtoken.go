// The ID token: its payload and signature.

package op

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// rolesClaim is the claim that carries RomM's roles: the value of RomM's
// OIDC_CLAIM_ROLES. It is also a scope, because RomM requests a claim by the
// scope of the same name.
const rolesClaim = "romm_roles"

// idTokenLifetime is how long RomM may take to check an ID token. RomM does so
// at once and allows 120 s for clocks that differ.
const idTokenLifetime = 5 * time.Minute

// idToken is the payload (OIDC Core 1.0 section 2 and
// https://openid.net/specs/openid-connect-core-1_0.html#StandardClaims).
type idToken struct {
	Issuer     string `json:"iss"`
	Subject    string `json:"sub"`
	Audience   string `json:"aud"` // a string: RomM compares it, and looks at azp only if it is a list
	Party      string `json:"azp"`
	Expires    int64  `json:"exp"`
	IssuedAt   int64  `json:"iat"`
	AuthTime   int64  `json:"auth_time,omitempty"`
	Nonce      string `json:"nonce"`
	AccessHash string `json:"at_hash"`
	Email      string `json:"email"`
	Verified   bool   `json:"email_verified"` // JSON true: RomM takes the string "true" for unverified
	Username   string `json:"preferred_username"`
	Name       string `json:"name,omitempty"`
	// Roles is always a list: in a string, RomM would look for a substring and
	// find "admin" in "not-an-admin".
	Roles []string `json:"romm_roles,omitzero"`
}

// idToken returns the signed ID token for the content of a code.
func (p *Provider) idToken(key signingKey, issuer string, content codeContent, accessToken string) (string, error) {
	now := p.keys.now()
	payload, err := json.Marshal(idToken{
		Issuer:     issuer,
		Subject:    content.Subject,
		Audience:   p.config.ClientID,
		Party:      p.config.ClientID,
		Expires:    now.Add(idTokenLifetime).Unix(),
		IssuedAt:   now.Unix(),
		AuthTime:   content.AuthTime,
		Nonce:      content.Nonce,
		AccessHash: halfHash(accessToken),
		Email:      content.Email,
		Verified:   !content.Unverified,
		Username:   content.Username,
		Name:       content.Name,
		Roles:      content.Roles,
	})
	if err != nil {
		return "", fmt.Errorf("encoding the ID token: %w", err)
	}
	signer, err := jose.NewSigner(key.signs(), (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("signing the ID token: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("signing the ID token: %w", err)
	}
	return signed.CompactSerialize()
}

// halfHash returns the left half of value's SHA-256: at_hash for ES256 and RS256
// (https://openid.net/specs/openid-connect-core-1_0.html#CodeIDToken).
func halfHash(value string) string {
	sum := sha256.Sum256([]byte(value))
	return base64.RawURLEncoding.EncodeToString(sum[:sha256.Size/2])
}
