// The client tokens (rmm_...) that RomM issued.

package romm

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

const clientTokenPrefix = "rmm_"

// tokens are the API credentials that RomM issued.
type tokens struct {
	refresh oneTime

	mu   sync.Mutex
	last int
	list []clientToken
}

type clientToken struct {
	id       int
	raw      string
	name     string
	userID   int
	scopes   []string
	deviceID string
	created  time.Time
	expires  time.Time
}

func (t *tokens) add(token clientToken) clientToken {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	token.id = t.last
	token.raw = clientTokenPrefix + randomHex(32)
	t.list = append(t.list, token)
	return token
}

func (t *tokens) find(raw string, now time.Time) (clientToken, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.list, func(token clientToken) bool { return token.raw == raw })
	if i < 0 || !t.list[i].expires.IsZero() && now.After(t.list[i].expires) {
		return clientToken{}, false
	}
	return t.list[i], true
}

func (t *tokens) of(userID int) []clientToken {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(t.list), func(token clientToken) bool { return token.userID != userID })
}

// remove removes a token and reports whether the user had it.
func (t *tokens) remove(id, userID int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := len(t.list)
	t.list = slices.DeleteFunc(t.list, func(token clientToken) bool { return token.id == id && token.userID == userID })
	return len(t.list) < before
}

// renew gives a token another secret. The old one is unknown from then on.
func (t *tokens) renew(id int, now time.Time) (clientToken, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.list, func(token clientToken) bool { return token.id == id })
	if i < 0 || !t.list[i].expires.IsZero() && now.After(t.list[i].expires) {
		return clientToken{}, false
	}
	t.list[i].raw = clientTokenPrefix + randomHex(32)
	return t.list[i], true
}

// NewClientToken returns a client token of the user, "rmm_" and 64 hexadecimal
// digits, that never expires. Each argument may hold several scopes with spaces
// between them. The user's own scopes limit the token's. It panics if there is no
// such user.
func (s *Server) NewClientToken(user string, scopes ...string) string {
	u, ok := s.accounts.byName(user)
	if !ok {
		panic(fmt.Sprintf("romm: no user %q", user))
	}
	return s.tokens.add(clientToken{userID: u.ID, name: "test", scopes: strings.Fields(strings.Join(scopes, " ")), created: s.options.Now()}).raw
}
