// keySet: the opened signing keys that the endpoints work with.

package op

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

// keySet is everything that the endpoints need from storage, read at one time
// and never changed.
type keySet struct {
	keyring *keyring.Keyring
	signing []signingKey
	public  json.RawMessage // the JWK Set document
	read    time.Time
}

// newKeySet encodes the public keys once for all requests.
func newKeySet(ring *keyring.Keyring, signing []signingKey, read time.Time) (*keySet, error) {
	document := jose.JSONWebKeySet{}
	for _, key := range signing {
		document.Keys = append(document.Keys, jose.JSONWebKey{
			Key:       key.private.Public(),
			KeyID:     key.KeyID,
			Algorithm: key.Algorithm,
			Use:       "sig",
		})
	}
	public, err := json.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("encoding the JWK Set: %w", err)
	}
	return &keySet{keyring: ring, signing: signing, public: public, read: read}, nil
}

// signer returns the key that signs with algorithm: the newest active one or,
// if clocks disagree and none is active, the one that becomes active first.
func (s *keySet) signer(algorithm string, now time.Time) (signingKey, bool) {
	var best signingKey
	for _, key := range s.signing {
		if key.Algorithm != algorithm {
			continue
		}
		active, bestActive := !key.ActiveFrom.After(now), !best.ActiveFrom.After(now)
		switch {
		case best.private == nil,
			active && !bestActive,
			active && bestActive && key.ActiveFrom.After(best.ActiveFrom),
			!active && !bestActive && key.ActiveFrom.Before(best.ActiveFrom):
			best = key
		}
	}
	return best, best.private != nil
}
