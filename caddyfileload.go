// Where in the Caddyfile a mistake stands that only shows at load.

package rommoidc

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"sync"

	"github.com/romm-oidc/caddy-romm-oidc/handler/settings"
)

// lastAdapted knows where the blocks stand that this process adapted: the configuration
// in JSON, which Caddy then loads, has no lines. A configuration that another process
// adapted has none here.
var lastAdapted adaptedBlocks

// adaptedLimit bounds the blocks that are remembered.
const adaptedLimit = 100

type adaptedBlocks struct {
	mu     sync.Mutex
	places map[[sha256.Size]byte]map[string]place // by the block's settings
}

// remember notes the places of m's settings.
func (a *adaptedBlocks) remember(m *Middleware) {
	key, ok := keyOf(m)
	if !ok {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.places == nil || len(a.places) >= adaptedLimit {
		a.places = map[[sha256.Size]byte]map[string]place{}
	}
	a.places[key] = m.places
}

// placesOf returns where the settings of m stand, nil if that is not known.
func (a *adaptedBlocks) placesOf(m *Middleware) map[string]place {
	key, ok := keyOf(m)
	if !ok {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.places[key]
}

func keyOf(m *Middleware) (key [sha256.Size]byte, ok bool) {
	text, err := json.Marshal(m)
	return sha256.Sum256(text), err == nil
}

// locateAtLoad adds to each mistake in err where it stands in the Caddyfile, if that
// is known.
func (m *Middleware) locateAtLoad(err error) error {
	block, known := m.places[""]
	if !known {
		return err
	}
	var errs []error
	for _, err := range settings.Each(err) {
		word, _, _ := strings.Cut(err.Error(), ":")
		_, about := errors.AsType[*settings.SettingError](err)
		at, found := m.places[word]
		switch {
		case about:
			err = m.locate(err)
		case found:
			err = at.wrap(err)
		default:
			err = block.wrap(err)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
