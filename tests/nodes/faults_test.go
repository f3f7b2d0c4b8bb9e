// Every kind of fault, and how long it lasts.

package nodes

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

// needs says what a request needs, or what a fault takes away.
type needs uint8

const (
	needsRomM needs = 1 << iota
	needsStorage
	needsProvider
	needsClock
	needsKeys // for RomM to check what the gate signs
)

// fault is a kind of fault.
type fault struct {
	name  string
	takes needs                   // what requests may fail for
	begin func(w *soak, pick int) // pick is the node, or the kind, by chance
	end   func(w *soak, pick int) // nil: it is over at once
	after time.Duration           // how long what it takes stays away; 0: grace
}

// toggle is a fault that end undoes by the same means.
func toggle(name string, takes needs, set func(w *soak, on bool)) fault {
	return fault{name: name, takes: takes, begin: func(w *soak, _ int) { set(w, true) }, end: func(w *soak, _ int) { set(w, false) }}
}

// once is a fault that is over at once.
func once(name string, do func(w *soak, pick int)) fault { return fault{name: name, begin: do} }

// forgets is a RomM that loses its sessions. A sign-in to it that is under way
// fails, which takes a few seconds if RomM is slow.
func forgets(name string, do func(w *soak)) fault {
	return fault{name: name, takes: needsRomM, begin: func(w *soak, _ int) { do(w) }, after: 3 * time.Second}
}

// refuse is a fault of the provider's endpoints. Afterwards the gate spares the
// provider for a while, so that it does not shut the client out.
func refuse(name string, spares time.Duration, f authelia.Fault, endpoints ...string) fault {
	refusing := toggle(name, needsProvider, func(w *soak, on bool) {
		w.authelia.Behave()
		if !on {
			return
		}
		w.authelia.Misbehave(func(m *authelia.Misbehaviour) {
			for _, endpoint := range endpoints {
				m.Fail(endpoint, f)
			}
		})
	})
	refusing.after = spares
	return refusing
}

// storage is a fault of the storage, by the methods that fail.
func storage(name string, methods ...string) fault {
	return toggle(name, needsStorage, func(w *soak, on bool) {
		var err error
		if on {
			err = errDisk
		}
		for _, method := range methods {
			w.disk[name+" "+method] = fail{method, err}
		}
		w.hookStorage()
	})
}

var errDisk = errors.New("input/output error")

// fail is a method of the storage that fails.
type fail struct {
	method string
	err    error
}

// hookStorage lets the storage fail as w.disk says.
func (w *soak) hookStorage() {
	failing := map[string]error{}
	for _, f := range w.disk {
		if f.err != nil {
			failing[f.method] = f.err
		}
	}
	steals := w.steals
	w.storage.Before(func(ctx context.Context, method, key string) error {
		if steals && method == "Lock" {
			_ = w.storage.Unlock(ctx, key) // if another holds it, it has lost it now
		}
		return failing[method]
	})
}

// damage is a document of the storage that is damaged, for a minute, until a node
// writes it again. One that starts then has nothing in memory to repair it from, and
// asks the others.
func damage(document string, takes needs) fault {
	damaged := once("damaged "+document, func(w *soak, pick int) {
		key := keyring.StoragePrefix(gateID) + "/" + document
		if value := w.storage.Value(key); value != nil {
			w.storage.Put(key, [][]byte{nil, value[:len(value)/2], make([]byte, len(value))}[pick])
		}
	})
	damaged.takes, damaged.after = takes, time.Minute+grace
	return damaged
}

// clock is the wall clock of a node's machine, wrong for a while.
func clock(name string, ahead time.Duration) fault {
	return fault{
		name: name, takes: needsClock,
		begin: func(w *soak, pick int) { w.ahead[pick].Store(int64(ahead / time.Second)) },
		end:   func(w *soak, pick int) { w.ahead[pick].Store(0) },
	}
}

// farAhead does not meet a node that starts: it takes the clock that it finds for
// right, and all sessions for unused since.
const farAhead = "clock 15 days ahead"

// fits reports whether f may begin now.
func (w *soak) fits(f *fault) bool {
	if *only != "" {
		return *only == f.name
	}
	started := func() bool { return w.recent("node killed") || w.recent("node restarted") }
	switch f.name {
	case "node killed", "node restarted":
		return !w.recent(farAhead)
	case farAhead:
		return !started()
	}
	return true
}

// recent reports whether a fault goes on, or was over less than 90 seconds ago.
func (w *soak) recent(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.history {
		if e.fault.name == name && (e.end.IsZero() || time.Since(e.end) < 90*time.Second) {
			return true
		}
	}
	return false
}

var faults = []fault{
	toggle("provider down", needsProvider, func(w *soak, on bool) {
		if w.authelia.Up(); on {
			w.authelia.Down()
		}
	}),
	toggle("provider hangs", needsProvider, func(w *soak, on bool) {
		if w.authelia.Up(); on {
			w.authelia.Hang()
		}
	}),
	toggle("provider slow", 0, func(w *soak, on bool) { w.providerDelay.Store(delay(on, time.Second)) }),
	refuse("provider 429", time.Minute, authelia.Fault{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"30"}}}, authelia.EndpointToken, authelia.EndpointUserinfo),
	refuse("refresh refused", 10*time.Minute, authelia.Fault{Status: http.StatusBadRequest, Body: `{"error":"invalid_grant"}`, Header: http.Header{"Content-Type": {"application/json"}}}, authelia.EndpointToken),
	once("keys of the provider rotated", func(w *soak, _ int) { w.authelia.RotateKeys() }),

	toggle("RomM down", needsRomM, func(w *soak, on bool) {
		if on {
			w.romm.Down()
			return
		}
		w.romm.Up()
	}),
	forgets("RomM restarted", func(w *soak) { w.romm.Restart() }),
	forgets("RomM forgets sessions", func(w *soak) { w.romm.DropSessions() }),
	toggle("RomM slow", 0, func(w *soak, on bool) { w.rommDelay.Store(delay(on, 1500*time.Millisecond)) }),
	toggle("RomM 500", needsRomM, func(w *soak, on bool) { w.rommStatus.Store(status(on, http.StatusInternalServerError)) }),
	toggle("RomM 503", needsRomM, func(w *soak, on bool) { w.rommStatus.Store(status(on, http.StatusServiceUnavailable)) }),

	storage("storage read-only", "Store", "Delete", "Lock"),
	storage("storage full", "Store"),
	storage("storage away", "Lock", "Store", "Delete", "Load", "List"),
	toggle("storage slow", 0, func(w *soak, on bool) { w.storage.Delay(time.Duration(delay(on, 250*time.Millisecond))) }),
	toggle("locks lost", 0, func(w *soak, on bool) {
		w.steals = on
		w.hookStorage()
	}),
	damage("keyring.json", needsKeys), // if RomM asks a node that waits for the others
	damage("signing_keys.json", needsKeys),

	{name: "node killed", begin: func(w *soak, pick int) { w.at(pick).kill() }, end: func(w *soak, pick int) {
		if w.at(pick).dead.Load() {
			w.start(pick)
		}
	}},
	once("node restarted", func(w *soak, pick int) {
		if !w.at(pick).dead.Load() {
			w.restart(pick)
		}
	}),
	once("configuration reloaded", func(w *soak, pick int) { w.at(pick).configure() }),
	once("keyring rotated", func(w *soak, pick int) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = w.at(pick).store.Rotate(ctx) // fails while the storage does
	}),
	clock("clock an hour back", -time.Hour),
	clock("clock an hour ahead", time.Hour),
	clock("clock 20 hours ahead", 20*time.Hour),
	clock(farAhead, 15*24*time.Hour),
}

func delay(on bool, d time.Duration) int64 {
	if on {
		return int64(d)
	}
	return 0
}

func status(on bool, code int64) int64 {
	if on {
		return code
	}
	return 0
}
