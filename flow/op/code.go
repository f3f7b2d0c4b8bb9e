// Authorization codes: the claims themselves, sealed under the gate's keyring.

package op

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

const (
	codePurpose  = "code"
	codeLifetime = 30 * time.Second
	codeSize     = 4 << 10 // bytes; a code travels in RomM's query string and comes back in a form
)

// Claims are what the ID token says about the user. The short JSON names are
// those inside a code.
type Claims struct {
	Subject  string `json:"s"`           // never changes; RomM requires it but does not keep it
	Username string `json:"u"`           // RomM's name for the user, or the name for a new account
	Email    string `json:"e"`           // verified; RomM finds the account by this alone
	Name     string `json:"n,omitempty"` // the display name; if empty, the claim is left out

	// Roles is the claim romm_roles. If nil, the claim is left out and RomM
	// keeps the role it has. Otherwise it is sent as a list, even if empty.
	Roles    []string `json:"r,omitzero"`
	AuthTime int64    `json:"a,omitempty"` // Unix seconds; 0 means unknown and leaves the claim out

	// Unverified says that Email is not verified. RomM refuses that, and says so: a
	// way to learn whether it accepts the rest.
	Unverified bool `json:"v,omitempty"`
}

// codeContent is what is sealed into a code. Client ID and redirect URI are
// bound to it without being in it.
type codeContent struct {
	Claims
	Nonce   string `json:"o"`
	Expires int64  `json:"x"` // Unix milliseconds
}

var errClaimsMissing = errors.New("a code needs a subject, a username, an e-mail address and a nonce")

// Code returns a code that RomM can redeem once, within 30 s, for an ID token
// with these claims and this nonce. The caller has verified all of them;
// Subject, Username, Email and nonce must not be empty. Any configuration and
// any node of the gate can redeem the code, since it carries the claims, sealed
// under the gate's keyring. It needs no escaping in a query.
//
// It returns ErrClaimsTooLarge if the code would exceed 4 KiB. Other errors
// mean that storage did not provide the gate's keys before ctx ended.
func (p *Provider) Code(ctx context.Context, claims Claims, nonce string) (string, error) {
	if claims.Subject == "" || claims.Username == "" || claims.Email == "" || nonce == "" {
		return "", errClaimsMissing
	}
	keys, err := p.keys.await(ctx, p.config.Report)
	if err != nil {
		return "", err
	}
	var plaintext bytes.Buffer
	encoder := json.NewEncoder(&plaintext)
	encoder.SetEscapeHTML(false) // a display name of many "&" would outgrow the code
	if err := encoder.Encode(codeContent{
		Claims:  claims,
		Nonce:   nonce,
		Expires: p.keys.now().Add(codeLifetime).UnixMilli(),
	}); err != nil {
		return "", fmt.Errorf("encoding a code: %w", err)
	}
	code := keys.keyring.SealText(codePurpose, plaintext.Bytes(), p.config.ClientID, p.config.RedirectURI)
	if len(code) > codeSize {
		return "", ErrClaimsTooLarge
	}
	return code, nil
}

// openCode returns what Code sealed for this client, expired or not, and false
// for anything else.
func (p *Provider) openCode(ring *keyring.Keyring, code string) (codeContent, bool) {
	// Go's base64 decoder skips CR and LF: with them, one code would have many
	// spellings, each of which could be redeemed once.
	if len(code) > codeSize || strings.ContainsAny(code, "\r\n") {
		return codeContent{}, false
	}
	plaintext, ok := ring.OpenText(codePurpose, code, p.config.ClientID, p.config.RedirectURI)
	if !ok {
		return codeContent{}, false
	}
	var content codeContent
	if err := json.Unmarshal(plaintext, &content); err != nil {
		return codeContent{}, false
	}
	return content, true
}
