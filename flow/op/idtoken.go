package op

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// RolesClaim is the claim that carries RomM's roles, and a scope, because
// RomM asks for a claim by a scope of the same name. It is what RomM's
// OIDC_CLAIM_ROLES must be.
const RolesClaim = "romm_roles"

// idTokenLifetime is how long RomM may take to look at an ID token. RomM does
// so at once and allows 120 s for clocks that differ.
const idTokenLifetime = 5 * time.Minute

// idToken is the payload (OIDC Core 1.0 sections 2 and 5.1).
type idToken struct {
	Issuer     string `json:"iss"`
	Subject    string `json:"sub"`
	Audience   string `json:"aud"` // a string: RomM compares it, and only otherwise looks at azp
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
	// Roles is a list, always: in a string RomM would look for a substring,
	// and find "admin" in "not-an-admin".
	Roles []string `json:"romm_roles,omitzero"`
}

// sign returns the ID token for what a code held.
func (p *Provider) sign(key signingKey, issuer string, opened grant, accessToken string) (string, error) {
	now := p.state.now()
	payload, err := json.Marshal(idToken{
		Issuer:     issuer,
		Subject:    opened.Subject,
		Audience:   p.config.ClientID,
		Party:      p.config.ClientID,
		Expires:    now.Add(idTokenLifetime).Unix(),
		IssuedAt:   now.Unix(),
		AuthTime:   opened.AuthTime,
		Nonce:      opened.Nonce,
		AccessHash: halfHash(accessToken),
		Email:      opened.Email,
		Verified:   true,
		Username:   opened.Username,
		Name:       opened.Name,
		Roles:      opened.Roles,
	})
	if err != nil {
		return "", fmt.Errorf("encoding the ID token: %w", err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{
		Algorithm: jose.SignatureAlgorithm(key.Algorithm),
		Key:       jose.JSONWebKey{Key: key.private, KeyID: key.KeyID},
	}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("signing the ID token: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("signing the ID token: %w", err)
	}
	return signed.CompactSerialize()
}

// halfHash is the left half of a SHA-256, as at_hash has it for ES256 and
// RS256 (OIDC Core 1.0 section 3.1.3.6).
func halfHash(value string) string {
	sum := sha256.Sum256([]byte(value))
	return base64.RawURLEncoding.EncodeToString(sum[:sha256.Size/2])
}
