// The pool of gates: the state that outlives configuration reloads, and the
// admin API's view of it.

package rommoidc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/romm-oidc/caddy-romm-oidc/flow"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/monotonic"
	"github.com/romm-oidc/caddy-romm-oidc/flow/op"
	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
	"github.com/romm-oidc/caddy-romm-oidc/handler"
	"github.com/romm-oidc/caddy-romm-oidc/handler/admin"
	"github.com/romm-oidc/caddy-romm-oidc/handler/background"
	"github.com/romm-oidc/caddy-romm-oidc/handler/event"
	"github.com/romm-oidc/caddy-romm-oidc/handler/limit"
	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
	"github.com/romm-oidc/caddy-romm-oidc/handler/romm"
)

func init() { admin.Gates = runningGates }

// gates holds every gate of this process, across reloads, by its ID.
var gates = caddy.NewUsagePool()

// pooledGate is the state that all configurations of a gate share.
type pooledGate struct {
	id, issuer, clientID, origin string

	generations

	clock    *monotonic.Clock
	links    *romm.Links
	sessions *session.Store
	gate     *handler.Gate
	romm     *romm.ReleaseCache
	signing  *op.Keys // of ID tokens for RomM
	client   *op.Keys // of the client at the provider, used with private_key_jwt
	codes    *op.Codes
	running  context.Context //nolint:containedctx // of the background work, which outlives configurations
	stop     context.CancelFunc

	emissions chan emission // events that wait for their subscribers
	emitting  atomic.Bool   // a goroutine calls them
}

// gateID derives the ID of a gate. It names the gate's folder in the storage,
// and everything that the gate seals is bound to it.
func gateID(issuer, clientID string, origin request.Origin) string {
	sum := sha256.Sum256([]byte(issuer + "\x00" + clientID + "\x00" + origin.String()))
	return hex.EncodeToString(sum[:8])
}

// loadGate returns the gate that g describes: the pooled one if there is one,
// else a new one. Each call needs one releaseGate with the gate's ID.
func loadGate(issuer, clientID string, origin request.Origin) (*pooledGate, error) {
	g := &pooledGate{id: gateID(issuer, clientID, origin), issuer: issuer, clientID: clientID, origin: origin.String()}
	value, _, err := gates.LoadOrNew(g.id, func() (caddy.Destructor, error) {
		g.start()
		return g, nil
	})
	if err != nil {
		return nil, fmt.Errorf("loading the state of the gate: %w", err)
	}
	g, _ = value.(*pooledGate) // the pool holds nothing else
	return g, nil
}

func releaseGate(id string) error {
	if _, err := gates.Delete(id); err != nil {
		return fmt.Errorf("releasing the state of the gate: %w", err)
	}
	return nil
}

// start creates the shared state and starts the background work. That work runs
// until Destruct: the context of a configuration ends at every reload.
func (g *pooledGate) start() {
	logger := caddy.Log().Named(handlerID)
	node, _ := os.Hostname() // shown in lists only; may be empty
	g.romm = romm.NewReleaseCache()
	g.links = romm.NewLinks(g.id, g.currentStorage)
	g.clock = monotonic.NewClock(nil)
	g.clock.Notice = func(step time.Duration, what monotonic.Verdict) { noticeStep(logger, step, what) }
	g.sessions = session.New(session.Options{Gate: g.id, Node: node, Logger: logger, Now: g.clock.Now})
	g.gate = handler.NewGate(g.sessions)
	g.gate.Background.Count = countWork
	// RomM checks what is signed for it by the clock of its machine, which may be this one.
	g.signing = op.NewKeys(g.id, g.sessions.BackgroundKeyring, g.currentStorage, time.Now)
	g.client = op.NewClientKeys(g.id, g.sessions.BackgroundKeyring, g.currentStorage, time.Now)
	for what, keys := range map[string]*op.Keys{"signing": g.signing, "client's": g.client} {
		keys.AwaitRepair = g.sessions.AwaitRepair
		g.sessions.OnDoubt(keys.Doubt)
		g.sessions.Every(op.MaintainEvery, "maintain the "+what+" keys", keys.Maintain)
	}
	g.codes = op.NewCodes(time.Now)
	g.emissions = make(chan emission, eventsQueued)
	g.running, g.stop = context.WithCancel(context.Background())
	go g.sessions.Run(context.Background()) // until Close
	go g.gate.Run(g.running)
	g.gate.ShareFailures(g.running, limit.Share{Gate: g.id, Storage: g.currentStorage})
}

// noticeStep logs a step of the wall clock.
func noticeStep(logger *zap.Logger, step time.Duration, what monotonic.Verdict) {
	by := zap.Duration("by", step.Round(time.Second))
	switch what {
	case monotonic.Doubted:
		logger.Warn("this machine's clock was set, or the machine was suspended: sessions go by the time before until the provider's clock confirms the new one", by)
	case monotonic.Believed:
		logger.Info("this machine's new time is used: the provider's clock agrees, or tells nothing", by)
	case monotonic.Undone:
		logger.Info("this machine's clock has its former time again", by)
	}
}

// currentStorage returns the storage of the configuration in force.
func (g *pooledGate) currentStorage() keyring.Storage { return g.sessions.Storage() }

// Destruct implements caddy.Destructor: no configuration uses the gate any
// more. Its sockets and downloads end, since nothing could end them later; its
// sessions stay in storage.
func (g *pooledGate) Destruct() error {
	g.stop()
	g.sessions.Close()
	return nil
}

// runningGates returns the gates that have a configuration in force.
func runningGates() (all []admin.Gate) {
	eachGate(func(g *pooledGate) {
		if g.current.Load() != nil {
			all = append(all, g)
		}
	})
	return all
}

func eachGate(do func(*pooledGate)) {
	gates.Range(func(_, value any) bool {
		if g, ok := value.(*pooledGate); ok {
			do(g)
		}
		return true
	})
}

// ID implements admin.Gate.
func (g *pooledGate) ID() string { return g.id }

// Issuer implements admin.Gate.
func (g *pooledGate) Issuer() string { return g.issuer }

// Sessions implements admin.Gate.
func (g *pooledGate) Sessions() *session.Store { return g.sessions }

// EndTokens implements admin.Gate.
func (g *pooledGate) EndTokens(ctx context.Context, userKeys []string, match func(*flow.Identity) bool, reason string) (int, error) {
	return g.gate.EndTokens(ctx, userKeys, match, reason)
}

// EndAllTokens implements admin.Gate.
func (g *pooledGate) EndAllTokens(ctx context.Context, reason string) (int, error) {
	return g.gate.EndAllTokens(ctx, reason)
}

// AccountsChanged implements admin.Gate.
func (g *pooledGate) AccountsChanged(ctx context.Context) { g.gate.AccountsChanged(ctx) }

// Links implements admin.Gate.
func (g *pooledGate) Links() *romm.Links { return g.links }

// Report implements admin.Gate.
func (g *pooledGate) Report(e *event.Event) { g.gate.Report(e) }

// Rotate implements admin.Gate.
func (g *pooledGate) Rotate(ctx context.Context) error {
	err := errors.Join(g.sessions.Rotate(ctx), g.signing.Rotate(ctx))
	if g.current.Load().settings.MakesClientKeys() {
		err = errors.Join(err, g.client.Rotate(ctx))
	}
	return err
}

// Status implements admin.Gate. It reads the provider's metadata and writes to
// the storage as a sign-in would, so that it shows whether a failure is over.
func (g *pooledGate) Status(ctx context.Context) admin.Status {
	status := admin.Status{
		Gate: g.id, Issuer: g.issuer, ClientID: g.clientID, Origin: g.origin,
		SessionsInMemory: g.sessions.Len(), Version: version(), Nodes: g.sessions.Nodes(),
	}
	began := time.Now()
	if err := g.sessions.Probe(ctx); err != nil {
		status.StorageError = err.Error()
	}
	status.StorageTook = time.Since(began).Milliseconds()
	status.StorageAway = g.sessions.Away()
	for _, check := range []func(context.Context) error{g.sessions.CheckKeyring, g.signing.Check, g.client.Check} {
		if damaged, ok := errors.AsType[*keyring.DocumentError](check(ctx)); ok {
			status.KeysError = damaged.Error()
			break
		}
	}
	rp := g.current.Load().relyingParty
	reachable := rp.Reachable(ctx)
	read, failed := rp.Loaded()
	status.Provider.MetadataRead = read
	if mismatch := rp.Mismatch(); mismatch != nil {
		status.Provider.Mismatch = mismatch.Error()
	}
	switch {
	case failed != nil:
		status.Provider.Error = failed.Error()
	case !reachable:
		status.Provider.Error = "it did not answer in time"
	}
	waiting := g.gate.Waiting()
	for _, work := range background.All() {
		status.Background = append(status.Background, admin.Work{Work: string(work), Waiting: waiting[work]})
	}
	for _, failing := range g.gate.Background.Failing() {
		i := slices.IndexFunc(status.Background, func(w admin.Work) bool { return w.Work == string(failing.Work) })
		status.Background[i].FailingSince, status.Background[i].Error = failing.Since.UTC(), failing.Err.Error()
	}
	status.RomM.Version, status.RomM.Seen = g.romm.Version()
	return status
}

var (
	_ admin.Gate       = (*pooledGate)(nil)
	_ caddy.Destructor = (*pooledGate)(nil)
)
