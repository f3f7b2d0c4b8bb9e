// How ID tokens are signed, properly or as an attacker would.

package authelia

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// Signature is how an ID token is signed.
type Signature int

// The ways to sign. All except the first are attacks or accidents.
const (
	SignedProperly         Signature = iota
	SignedByForeignKey               // the announced kid and algorithm, another key
	SignedByUnknownKey               // a kid that the JWKS does not have
	SignedThenBroken                 // the last byte of a proper signature is changed
	SignedThenAltered                // the claims are changed after signing
	SignedNone                       // alg none, no signature
	SignedWithClientSecret           // HS256 under the client's secret
	SignedWithoutKeyID               // proper, but no kid in the header
	SignedWithAnotherAlg             // by another key of the provider: ES256 in place of RS256, RS256 in place of the others
)

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// sign returns claims as a compact JWS, signed with the key.
func sign(key jose.JSONWebKey, claims map[string]any) string {
	options := (&jose.SignerOptions{}).WithType("JWT")
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: key}, options)
	if err != nil {
		panic(fmt.Sprintf("authelia: making a signer: %v", err))
	}
	jws, err := signer.Sign(mustJSON(claims))
	if err != nil {
		panic(fmt.Sprintf("authelia: signing: %v", err))
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		panic(fmt.Sprintf("authelia: serializing: %v", err))
	}
	return token
}

// signIDToken signs as the misbehaviour says.
func (s *Server) signIDToken(c *Client, claims map[string]any) string {
	return s.signAs(s.misbehaviour.Signature, c, claims)
}

func (s *Server) signAs(signature Signature, c *Client, claims map[string]any) string {
	key := s.keys.find(c.Alg)
	switch signature {
	case SignedByForeignKey:
		foreign := signingKey(c.Alg, "foreign")
		foreign.KeyID = key.KeyID
		return sign(foreign, claims)
	case SignedByUnknownKey:
		return sign(signingKey(c.Alg, "foreign"), claims)
	case SignedThenBroken:
		part := strings.Split(sign(key, claims), ".")
		raw, _ := base64.RawURLEncoding.DecodeString(part[2]) // just encoded
		raw[len(raw)-1] ^= 1
		return part[0] + "." + part[1] + "." + encode(raw)
	case SignedThenAltered:
		part := strings.Split(sign(key, claims), ".")
		claims["altered"] = true
		return part[0] + "." + encode(mustJSON(claims)) + "." + part[2]
	case SignedNone:
		return handmade(map[string]any{"alg": "none", "typ": "JWT"}, claims, func([]byte) []byte { return nil })
	case SignedWithClientSecret:
		return handmade(map[string]any{"alg": "HS256", "typ": "JWT"}, claims, func(input []byte) []byte {
			mac := hmac.New(sha256.New, []byte(c.Secret))
			mac.Write(input)
			return mac.Sum(nil)
		})
	case SignedWithoutKeyID:
		key.KeyID = ""
	case SignedWithAnotherAlg:
		alg := "RS256"
		if c.Alg == alg {
			alg = "ES256"
		}
		s.keys.add([]string{alg})
		key = s.keys.find(alg)
	case SignedProperly:
	}
	return sign(key, claims)
}

// handmade assembles a JWS that a library would refuse to make.
func handmade(header, claims map[string]any, signature func(input []byte) []byte) string {
	input := encode(mustJSON(header)) + "." + encode(mustJSON(claims))
	return input + "." + encode(signature([]byte(input)))
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("authelia: encoding: %v", err))
	}
	return b
}
