// Signing keys, the JWKS endpoint, and random tokens in Authelia's format.

package authelia

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

// keyring has one signing key per algorithm in use; RS256 is mandatory, as in the original.
type keyring struct {
	generation int
	keys       []jose.JSONWebKey
}

// newKeyring returns the keys of a generation. The first RS256 key has a configured kid, all others have Authelia's
// default.
func newKeyring(algs []string, generation int) keyring {
	k := keyring{generation: generation}
	k.add(algs)
	return k
}

func (k *keyring) add(algs []string) {
	for _, alg := range algs {
		if slices.ContainsFunc(k.keys, func(key jose.JSONWebKey) bool { return key.Algorithm == alg }) {
			continue
		}
		key := signingKey(alg, fmt.Sprint(k.generation))
		if alg == "RS256" && k.generation == 0 {
			key.KeyID = "main-rs256"
		}
		k.keys = append(k.keys, key)
	}
}

func (k *keyring) find(alg string) jose.JSONWebKey {
	for _, key := range k.keys {
		if key.Algorithm == alg {
			return key
		}
	}
	panic("authelia: no key for " + alg)
}

// algorithms lists the algorithms that the clients use, RS256 first.
func (s *Server) algorithms() []string {
	algs := []string{"RS256"}
	for _, c := range s.clients {
		for _, alg := range []string{c.Alg, c.UserinfoAlg} {
			if alg != "" && !slices.Contains(algs, alg) {
				algs = append(algs, alg)
			}
		}
	}
	slices.Sort(algs[1:])
	return algs
}

// signingKey returns a key with Authelia's default kid: six hexadecimal digits, a dash, the algorithm.
func signingKey(alg, name string) jose.JSONWebKey {
	var private crypto.Signer
	switch alg {
	case "RS256", "PS256":
		private = rsaKey(alg + "/" + name)
	case "ES256":
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(fmt.Sprintf("authelia: generating a key: %v", err))
		}
		private = key
	default:
		panic("authelia: no support for " + alg)
	}
	key := jose.JSONWebKey{Key: private, Algorithm: alg, Use: "sig"}
	public := key.Public()
	thumbprint, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		panic(fmt.Sprintf("authelia: hashing a key: %v", err))
	}
	key.KeyID = hex.EncodeToString(thumbprint)[:6] + "-" + strings.ToLower(alg)
	return key
}

// rsaKeys are generated once per process, because generating one is slow. Two stand-ins therefore share keys: a relying
// party that confuses the two issuers cannot rely on the signature to notice.
var rsaKeys = struct {
	sync.Mutex
	byName map[string]*rsa.PrivateKey
}{byName: map[string]*rsa.PrivateKey{}}

func rsaKey(name string) *rsa.PrivateKey {
	rsaKeys.Lock()
	defer rsaKeys.Unlock()
	if key := rsaKeys.byName[name]; key != nil {
		return key
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(fmt.Sprintf("authelia: generating a key: %v", err))
	}
	rsaKeys.byName[name] = key
	return key
}

// jwks returns the public keys. As in the original, they must not be cached.
func (s *Server) jwks(r *http.Request) answer {
	if r.Method != http.MethodGet {
		return methodNotAllowed("GET, OPTIONS")
	}
	set := jose.JSONWebKeySet{}
	for _, key := range s.keys.keys {
		set.Keys = append(set.Keys, key.Public())
	}
	if edit := s.misbehaviour.JWKS; edit != nil {
		var document map[string]any
		if err := json.Unmarshal(mustJSON(set), &document); err != nil {
			panic(fmt.Sprintf("authelia: decoding the keys: %v", err))
		}
		edit(document)
		return jsonAnswer(http.StatusOK, document).with("Access-Control-Allow-Origin", "*")
	}
	return jsonAnswer(http.StatusOK, set).with("Access-Control-Allow-Origin", "*")
}

// newOpaque returns a token in Authelia's format: prefix, 43 characters, a dot, 43 characters.
func newOpaque(prefix string) string {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails
	signature := sha256.Sum256(secret[:])
	return prefix + encode(secret[:]) + "." + encode(signature[:])
}

// newUUID returns a random UUID (RFC 9562 5.4).
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}
