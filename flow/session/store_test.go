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
		t.Error("two sign-ins have one ticket")
	}
	if n := len(storage.under(folderRecords)); n != 2 {
		t.Errorf("%d records stored", n)
	}
	if n := len(storage.under(folderHeads)); n != 2 {
		t.Errorf("%d heads stored", n)
	}
	restarted := newTestStore(storage)
	for _, ticket := range []string{first, second} {
		if r := mustOpen(t, restarted, ticket).Record(); r.Tokens.Refresh != "authelia_rt_ada" || r.UpstreamSession != "romm-ada" || r.Created.IsZero() {
			t.Errorf("after a restart the record is %+v", r)
		}
	}
}

func TestCreateFailsWhole(t *testing.T) {
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
				t.Fatalf("Create = %v, %v", session, err)
			}
			if n := len(storage.under(folderHeads)) + len(storage.under(folderRecords)); n != 0 || s.Len() != 0 {
				t.Errorf("%d values are left", n)
			}
		})
	}
}

func TestNotConfigured(t *testing.T) {
	s := New(Options{Gate: testGate})
	forged := newTicket(testKeyring(t, testGate, 1)).String()
	if _, err := s.Lookup(t.Context(), forged); !errors.Is(err, errNotConfigured) {
		t.Errorf("Lookup: %v", err)
	}
	if _, _, err := s.Create(t.Context(), recordOf("ada")); !errors.Is(err, errNotConfigured) {
		t.Errorf("Create: %v", err)
	}
	if _, err := s.EndAll(t.Context(), "x"); !errors.Is(err, errNotConfigured) {
		t.Errorf("EndAll: %v", err)
	}
	if err := poll(t.Context(), s); err != nil {
		t.Errorf("poll: %v", err)
	}
	s.Close()
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
					t.Errorf("Lookup = %v, %v", session, err)
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
		t.Errorf("Lookup = %v, %v", session, err)
	}
	if _, err := s.EndAll(t.Context(), "x"); err == nil {
		t.Error("EndAll: no error")
	}
	pollOnce(t, s)
	storage.before = nil
	pollOnce(t, s)
	mustNot(t, s, ticket) // EndAll was due
}
