// Create, Configure, and a storage that panics.

package session

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestCreateIsDurableAndAlwaysNew(t *testing.T) {
	storage := newFakeStorage()
	s := newTestStore(storage)
	first, one := create(t, s, "ada")
	second, two := create(t, s, "ada")
	if first == second || one.ID() == two.ID() {
		t.Error("two sign-ins got the same ticket")
	}
	if n := len(storage.under(folderRecords)); n != 2 {
		t.Errorf("%d records stored, want 2", n)
	}
	if n := len(storage.under(folderHeads)); n != 2 {
		t.Errorf("%d heads stored, want 2", n)
	}
	restarted := newTestStore(storage)
	for _, ticket := range []string{first, second} {
		if r := mustOpen(t, restarted, ticket).Record(); r.Tokens.Refresh != "authelia_rt_ada" || r.Upstream.ID != "romm-ada" || r.Created.IsZero() {
			t.Errorf("record %+v after a restart, want the one that was created", r)
		}
	}
}

func TestFailedCreateLeavesNothing(t *testing.T) {
	for _, folder := range []string{folderHeads, folderRecords} {
		t.Run(folder, func(t *testing.T) {
			storage := newFakeStorage()
			storage.before = func(operation, key string) error {
				if operation == "store" && strings.Contains(key, "/"+folder+"/") {
					return errAway
				}
				return nil
			}
			s := newTestStore(storage)
			if _, session, err := s.Create(t.Context(), recordOf("ada")); !errors.Is(err, errAway) || session != nil {
				t.Fatalf("Create = %v, %v, want %v", session, err, errAway)
			}
			if n := len(storage.under(folderHeads)) + len(storage.under(folderRecords)); n != 0 || s.Len() != 0 {
				t.Errorf("%d values in storage, %d sessions in memory after a failed Create, want 0, 0", n, s.Len())
			}
		})
	}
}

func TestNotConfigured(t *testing.T) {
	s := New(Options{Gate: testGate})
	forged := newTicket(testKeyring(t, testGate, 1)).String()
	if _, err := s.Lookup(t.Context(), forged); !errors.Is(err, errNotConfigured) {
		t.Errorf("Lookup: %v, want %v", err, errNotConfigured)
	}
	if _, _, err := s.Create(t.Context(), recordOf("ada")); !errors.Is(err, errNotConfigured) {
		t.Errorf("Create: %v, want %v", err, errNotConfigured)
	}
	if _, err := s.EndAll(t.Context(), "x"); !errors.Is(err, errNotConfigured) {
		t.Errorf("EndAll: %v, want %v", err, errNotConfigured)
	}
	if err := poll(t.Context(), s); err != nil {
		t.Errorf("poll: %v, want nil", err)
	}
	s.Close()
}

// Limits without values are safe: they end sessions, and never keep one forever.
func TestZeroLimitsEndSessions(t *testing.T) {
	s := newTestStore(newFakeStorage())
	ticket, _ := create(t, s, "ada")
	s.Configure(newFakeStorage(), Limits{})
	mustNot(t, s, ticket)
}

func TestConfigureWhileServing(t *testing.T) {
	storage := newFakeStorage()
	s := newTestStore(storage)
	ticket, _ := create(t, s, "ada")
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 500 {
				s.Configure(storage, Limits{Idle: time.Hour, Lifetime: DefaultLifetime})
				if session, err := s.Lookup(t.Context(), ticket); session == nil || err != nil {
					t.Errorf("Lookup during Configure = %v, %v, want a session", session, err)
				}
			}
		})
	}
	wait.Wait()
}

func TestPanicInStorageIsAnError(t *testing.T) {
	storage := newFakeStorage()
	ticket, _ := create(t, newTestStore(storage), "ada")
	s := newTestStore(storage)
	_, _ = s.Keyring(t.Context())
	storage.before = func(string, string) error { panic("bad module") }
	if session, err := s.Lookup(t.Context(), ticket); session != nil || err == nil {
		t.Errorf("Lookup = %v, %v, want an error", session, err)
	}
	if _, err := s.EndAll(t.Context(), "x"); err == nil {
		t.Error("EndAll = nil, want an error")
	}
	pollOnce(t, s)
	storage.before = nil
	pollOnce(t, s)
	mustNot(t, s, ticket) // the queued EndAll
}
