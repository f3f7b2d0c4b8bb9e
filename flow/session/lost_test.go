// Storage that lost everything while Caddy runs.

package session

import (
	"context"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

// forget loses everything, as a volume that is not mounted or Redis without its data.
func (f *fakeStorage) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.values)
}

// The folder of the sessions is gone, and maybe a user has signed in since. No
// session in memory ends, a token that was refreshed meanwhile is not lost, and all
// of them outlive a restart.
func TestStorageFolderVanished(t *testing.T) {
	for name, meanwhile := range map[string]func(ctx context.Context, s *Store, ada *Session) error{
		"nothing": func(context.Context, *Store, *Session) error { return nil },
		"a refresh": func(ctx context.Context, s *Store, ada *Session) error {
			return s.UpdateOnce(ctx, ada, func(*Record) bool { return true }, func(r *Record) { r.Tokens.Refresh = "second" })
		},
		"an update that changes nothing": func(ctx context.Context, s *Store, ada *Session) error {
			return s.Update(ctx, ada, func(*Record) {})
		},
		"a probe": func(ctx context.Context, s *Store, _ *Session) error { return s.Probe(ctx) },
	} {
		for _, strict := range []bool{true, false} { // a file system, and Redis
			t.Run(name, func(t *testing.T) {
				storage := newFakeStorage()
				storage.strict = strict
				core, logs := observer.New(zapcore.WarnLevel)
				s := newTestStore(storage, func(o *Options) { o.Logger = zap.New(core) })
				first, ada := create(t, s, "ada")
				second, _ := create(t, s, "bob")
				storage.forget()
				if err := meanwhile(t.Context(), s, ada); err != nil {
					t.Error(err)
				}
				third, _ := create(t, s, "eve")
				pollOnce(t, s)
				for range 2 {
					if err := s.maintainKeyring(t.Context()); err != nil {
						t.Errorf("maintainKeyring: %v", err)
					}
				}
				refresh := ada.Record().Tokens.Refresh
				for _, node := range []*Store{s, newTestStore(storage)} {
					for _, ticket := range []string{first, second, third} {
						mustOpen(t, node, ticket)
					}
					if got := mustOpen(t, node, first).Record().Tokens.Refresh; got != refresh {
						t.Errorf("refresh token %q, want %q", got, refresh)
					}
				}
				if logs.Len() != 1 || !strings.HasPrefix(logs.All()[0].Message, "storage lost everything") {
					t.Errorf("logs: %v, want one line", logs.All())
				}
			})
		}
	}
}

// An end that another node stored is an end, whatever else is missing.
func TestStorageVanishedAfterAnEnd(t *testing.T) {
	storage := newFakeStorage()
	a, b := newTestStore(storage), newTestStore(storage)
	ticket, session := create(t, a, "ada")
	there := mustOpen(t, b, ticket)
	_ = a.End(t.Context(), session.ID(), "sign_out")
	_ = storage.Delete(t.Context(), keyring.Path(testGate))
	_ = b.maintainKeyring(t.Context())
	pollOnce(t, b)
	if !there.Ended() || len(storage.under(folderRecords))+len(storage.under(folderHeads)) > 0 {
		t.Errorf("ended: %v, stored: %v; want it ended, and nothing of it stored", there.Ended(), storage.under(folderRecords))
	}
}
