package op

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

const (
	codePurpose  = "code"
	codeLifetime = 30 * time.Second
	codeSize     = 4 << 10 // bytes; a code travels through RomM's query string and comes back in a form
	codesKept    = 10_000
)

// Claims are what the ID token says about who signed in. The short names are
// those inside a code.
type Claims struct {
	Subject  string `json:"s"`           // never changes; RomM requires it and does not keep it
	Username string `json:"u"`           // RomM's name for the user, or the one to create him under
	Email    string `json:"e"`           // verified; RomM finds the account by nothing else
	Name     string `json:"n,omitempty"` // the display name; empty: the claim is left out

	// Roles is the claim romm_roles. Nil leaves the claim out, so that RomM
	// keeps the role it has; anything else is sent as a list, an empty one as
	// an empty list.
	Roles    []string `json:"r,omitzero"`
	AuthTime int64    `json:"a,omitempty"` // Unix seconds; 0: unknown, the claim is left out
}

// grant is what is sealed into a code. Client ID and redirect URI are bound to
// it without being in it.
type grant struct {
	Claims
	Nonce   string `json:"o"`
	Expires int64  `json:"x"` // Unix milliseconds
}

// Outcome is what became of a code at this node's token endpoint.
type Outcome struct {
	Requested bool   // RomM's token request with this code arrived
	Redeemed  bool   // RomM got an ID token for it; so the code is spent
	Refusal   string // why the latest request was refused: one of the Refusal constants, or empty
}

// codeRecord remembers a code that was sent to the token endpoint.
type codeRecord struct {
	Outcome
	forget time.Time // when the code has long expired
}

// Code returns a code that RomM can redeem once, within 30 s, for an ID token
// with these claims and this nonce. The caller has verified all of them. Any
// instance and any node of the gate redeems it, since the code is itself the
// claims, sealed under the gate's keyring. It fits a query as it is.
func (p *Provider) Code(ctx context.Context, claims Claims, nonce string) (string, error) {
	if claims.Subject == "" || claims.Username == "" || claims.Email == "" || nonce == "" {
		return "", ErrClaims
	}
	keys, err := p.state.await(ctx, p.config.Report)
	if err != nil {
		return "", err
	}
	plaintext, err := json.Marshal(grant{
		Claims:  claims,
		Nonce:   nonce,
		Expires: p.state.now().Add(codeLifetime).UnixMilli(),
	})
	if err != nil {
		return "", fmt.Errorf("encoding a code: %w", err)
	}
	code := keys.keyring.SealText(codePurpose, plaintext, p.config.ClientID, p.config.RedirectURI)
	if len(code) > codeSize {
		return "", ErrClaims
	}
	return code, nil
}

// openCode returns what Code sealed for this client, whether expired or not,
// and false for anything else.
func (p *Provider) openCode(keyring *keyring.Keyring, code string) (grant, bool) {
	// Go's base64 decoder skips CR and LF: with them one code would have many
	// spellings, and each would be redeemed once.
	if len(code) > codeSize || strings.ContainsAny(code, "\r\n") {
		return grant{}, false
	}
	plaintext, ok := keyring.OpenText(codePurpose, code, p.config.ClientID, p.config.RedirectURI)
	if !ok {
		return grant{}, false
	}
	var opened grant
	if err := json.Unmarshal(plaintext, &opened); err != nil {
		return grant{}, false
	}
	return opened, true
}

// Outcome tells the caller of Code, once RomM has answered, what happened at
// this node's token endpoint in between: whether RomM asked at all, and why it
// was refused. Codes that this gate never made are not remembered, and others
// for about a minute. With several nodes behind RomM's address of us, the
// request may have arrived at another one.
func (s *Keys) Outcome(code string) Outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.codes[sha256.Sum256([]byte(code))].Outcome
}

// redeem marks a genuine code as redeemed, which succeeds once.
func (s *Keys) redeem(code string, opened grant) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	key := sha256.Sum256([]byte(code))
	s.forgetCodes(now)
	record, known := s.codes[key]
	switch {
	case record.Redeemed:
		record.Refusal = RefusalUsed
		s.codes[key] = record
		return errUsed
	case now.UnixMilli() >= opened.Expires:
		s.remember(key, opened, Outcome{Requested: true, Refusal: RefusalExpired})
		return errExpired
	case !known && len(s.codes) >= codesKept:
		// A code that cannot be remembered could be redeemed again.
		return errUnavailable
	}
	s.remember(key, opened, Outcome{Requested: true, Redeemed: true})
	return nil
}

// refuse remembers why a genuine code was not redeemed. The code stays good:
// otherwise whoever guesses at the secret would spend it.
func (s *Keys) refuse(code string, opened grant, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetCodes(s.now())
	key := sha256.Sum256([]byte(code))
	s.remember(key, opened, Outcome{Requested: true, Redeemed: s.codes[key].Redeemed, Refusal: reason})
}

// remember needs s.mu. A code that was never redeemed is not worth the room of
// one that was.
func (s *Keys) remember(key [sha256.Size]byte, opened grant, outcome Outcome) {
	if _, known := s.codes[key]; !known && len(s.codes) >= codesKept {
		return
	}
	forget := time.UnixMilli(opened.Expires)
	if now := s.now(); forget.Before(now) {
		forget = now
	}
	s.codes[key] = codeRecord{Outcome: outcome, forget: forget.Add(codeLifetime)}
}

// forgetCodes needs s.mu. It looks through the codes now and then only, or
// when there are too many.
func (s *Keys) forgetCodes(now time.Time) {
	if now.Before(s.sweep) && len(s.codes) < codesKept {
		return
	}
	s.sweep = now.Add(codeLifetime)
	maps.DeleteFunc(s.codes, func(_ [sha256.Size]byte, record codeRecord) bool {
		return now.After(record.forget)
	})
}
