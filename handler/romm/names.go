// Names that RomM's sessions may still hold.

package romm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

const (
	// nameReserved is how long a user name stays its former account's. RomM's
	// sessions and tokens hold the name and last 14 days at most without use, unless
	// the operator sets more.
	nameReserved = 30 * 24 * time.Hour
	// nameRenewed is how old a reservation gets before it is written again.
	nameRenewed = 24 * time.Hour
)

// nameHolder is a user of the provider whose account had a name.
type nameHolder struct {
	Issuer  string    `json:"iss"`
	Subject string    `json:"sub"`
	Seen    time.Time `json:"seen"`
}

func (l *Links) namePath(name string) string { return l.path("name", strings.ToLower(name)) }

// reserve notes that sessions of link's subject may hold name. What RomM lets in
// under that name is another user's as soon as another account gets it.
func (l *Links) reserve(ctx context.Context, link *Link, name string) error {
	path := l.namePath(name)
	if holders, err := l.holders(ctx, path); err == nil && slices.ContainsFunc(holders, func(h nameHolder) bool {
		return h.of(link) && time.Since(h.Seen) < nameRenewed
	}) {
		return nil
	}
	unlock, err := l.lockPath(ctx, path)
	if err != nil {
		return fmt.Errorf("reserving the RomM user name %q: %w", name, err)
	}
	defer unlock()
	holders, err := l.holders(ctx, path)
	if err != nil && !unreadable(err) {
		return err
	}
	now := time.Now()
	kept := []nameHolder{{Issuer: link.Issuer, Subject: link.Subject, Seen: now}}
	for _, h := range holders {
		if h.of(link) {
			continue
		}
		held, err := l.holds(ctx, &h, name)
		if err != nil {
			return err
		}
		if held {
			kept = append(kept, h)
		}
	}
	document, err := json.Marshal(kept)
	if err != nil {
		return fmt.Errorf("encoding a reserved name: %w", err)
	}
	if err := l.storage().Store(ctx, path, document); err != nil {
		return fmt.Errorf("storing a reserved name: %w", err)
	}
	return nil
}

// reserved reports whether sessions of a subject other than link's may hold name.
func (l *Links) reserved(ctx context.Context, link *Link, name string) (bool, error) {
	holders, err := l.holders(ctx, l.namePath(name))
	if unreadable(err) {
		return true, nil // by whom is not known
	}
	if err != nil {
		return false, err
	}
	for _, h := range holders {
		if h.of(link) {
			continue
		}
		if held, err := l.holds(ctx, &h, name); err != nil || held {
			return held, err
		}
	}
	return false, nil
}

// of reports whether h is link's subject.
func (h *nameHolder) of(link *Link) bool {
	return h.Issuer == link.Issuer && h.Subject == link.Subject
}

// holds reports whether sessions of h may hold name: h's account has it, or had it
// not long ago.
func (l *Links) holds(ctx context.Context, h *nameHolder, name string) (bool, error) {
	if time.Since(h.Seen) < nameReserved {
		return true, nil
	}
	link, err := l.load(ctx, l.subjectPath(&Link{Issuer: h.Issuer, Subject: h.Subject}))
	if err != nil && !unreadable(err) {
		return false, err
	}
	return link != nil && strings.EqualFold(link.Username, name), nil
}

// holders returns those that had the name of path.
func (l *Links) holders(ctx context.Context, path string) ([]nameHolder, error) {
	document, err := l.storage().Load(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("loading a reserved name: %w", err)
	}
	var holders []nameHolder
	if err := json.Unmarshal(document, &holders); err != nil {
		return nil, &keyring.DocumentError{Key: path, Cause: err, Remedy: "delete it: the name is not reserved any longer"}
	}
	return holders, nil
}
