package session

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
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

// A stranger sends tickets at random: none of them may cost a storage call.
func TestForgedTicketCostsNoIO(t *testing.T) {
	storage := newFakeStorage()
	s := newTestStore(storage)
	ticket, _ := create(t, s, "ada")
	before := storage.calls.Load()
	for i := range 1000 {
		forged, _ := parseTicket(ticket)
		forged[i%32] ^= byte(1 + i/32)
		mustNot(t, s, forged.String())
		mustNot(t, s, ticket[:i%43])
	}
	if n := storage.calls.Load() - before; n != 0 {
		t.Errorf("%d storage calls", n)
	}
}

// A ticket whose id another session has, but with another sum, opens nothing:
// memory compares the whole sum, not only the part that names the session.
func TestWrongTicketWithRightIDOpensNothing(t *testing.T) {
	s := newTestStore(newFakeStorage())
	ticket, session := create(t, s, "ada")
	session.sum[31] ^= 1
	mustNot(t, s, ticket)
}

func TestHitCostsNoIO(t *testing.T) {
	storage := newFakeStorage()
	s := newTestStore(storage)
	ticket, session := create(t, s, "ada")
	before := storage.calls.Load()
	for range 100 {
		if mustOpen(t, s, ticket) != session {
			t.Fatal("another session")
		}
	}
	if n := storage.calls.Load() - before; n != 0 {
		t.Errorf("%d storage calls", n)
	}
}

func TestOneSessionForManyRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		ticket, _ := create(t, newTestStore(storage), "ada")
		s := newTestStore(storage)
		if _, err := s.Keyring(t.Context()); err != nil {
			t.Fatal(err)
		}
		storage.latency = 50 * time.Millisecond
		before := storage.count("load")
		var wait sync.WaitGroup
		sessions := make([]*Session, 200)
		for i := range sessions {
			wait.Go(func() { sessions[i], _ = s.Lookup(t.Context(), ticket) })
		}
		wait.Wait()
		for _, session := range sessions {
			if session == nil || session != sessions[0] {
				t.Fatalf("%p and %p for one ticket", session, sessions[0])
			}
		}
		if n := storage.count("load") - before; n != 4 {
			t.Errorf("%d loads, want 4", n)
		}
		attachments := map[any]bool{}
		for _, session := range sessions {
			attachments[session.Attachment(func() any { return new(int) })] = true
		}
		if len(attachments) != 1 {
			t.Errorf("%d attachments of one session", len(attachments))
		}
	})
}

// Two users sign in and load pages at once; neither may ever see the other's
// session (CVE-2026-71326 was a single-flight key that did not tell them apart).
func TestTwoUsersRacingAreNeverCrossed(t *testing.T) {
	storage := newFakeStorage()
	s := newTestStore(storage, func(o *Options) { o.Capacity = 1 }) // every lookup evicts the other
	names := []string{"ada", "bob"}
	rounds := 125_000 // of eight workers: a million
	if testing.Short() {
		rounds = 2_000
	}
	tickets := make([]string, 0, len(names))
	for _, name := range names {
		ticket, _ := create(t, s, name)
		tickets = append(tickets, ticket)
	}
	var wait sync.WaitGroup
	for worker := range 8 {
		wait.Go(func() {
			name := names[worker%2]
			for i := range rounds {
				session, err := s.Lookup(t.Context(), tickets[worker%2])
				if err != nil || session == nil {
					t.Errorf("Lookup = %v, %v", session, err)
					return
				}
				if got := session.Record().Identity.Username; got != name {
					t.Errorf("%s got the session of %s", name, got)
					return
				}
				if i%200 == 0 {
					if err := s.Update(t.Context(), session, func(r *Record) { r.UpstreamSession = name + fmt.Sprint(i) }); err != nil {
						t.Errorf("Update: %v", err)
						return
					}
				}
				if !strings.HasPrefix(session.Record().UpstreamSession, name) && !strings.HasSuffix(session.Record().UpstreamSession, name) {
					t.Errorf("%s got %s", name, session.Record().UpstreamSession)
				}
			}
		})
	}
	wait.Wait()
}

func TestStorageAwayIsAnErrorNotAnEnd(t *testing.T) {
	storage := newFakeStorage()
	ticket, _ := create(t, newTestStore(storage), "ada")
	s := newTestStore(storage)
	storage.away.Store(true)
	if _, err := s.Lookup(t.Context(), ticket); !errors.Is(err, errAway) {
		t.Fatalf("Lookup while the keyring cannot be read: %v", err)
	}
	storage.away.Store(false)
	session := mustOpen(t, s, ticket)
	storage.away.Store(true)
	if mustOpen(t, s, ticket) != session {
		t.Error("memory is not trusted")
	}
	s.memory.evict(session)
	if got, err := s.Lookup(t.Context(), ticket); got != nil || !errors.Is(err, errAway) {
		t.Fatalf("Lookup = %v, %v", got, err)
	}
	storage.away.Store(false)
	mustOpen(t, s, ticket)
	for _, operation := range []string{folderHeads, folderRecords, folderLastUses, folderTombstones} {
		storage.before = func(_, key string) error {
			if strings.Contains(key, "/"+operation+"/") {
				return errAway
			}
			return nil
		}
		s := newTestStore(storage)
		if got, err := s.Lookup(t.Context(), ticket); got != nil || !errors.Is(err, errAway) {
			t.Errorf("Lookup without %s = %v, %v", operation, got, err)
		}
		storage.before = nil
		mustOpen(t, s, ticket)
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

func TestKeyringIsSharedAndFailureIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		storage.latency = time.Second
		s := newTestStore(storage)
		storage.away.Store(true)
		if _, err := s.Keyring(t.Context()); !errors.Is(err, errAway) {
			t.Fatalf("Keyring: %v", err)
		}
		storage.away.Store(false)

		hasty, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		began := time.Now()
		if _, err := s.Keyring(hasty); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Keyring of a hasty caller: %v", err)
		}
		if waited := time.Since(began); waited > 10*time.Millisecond {
			t.Errorf("it waited %v", waited)
		}
		keyrings := make([]*keyring.Keyring, 50)
		var wait sync.WaitGroup
		for i := range keyrings {
			wait.Go(func() { keyrings[i], _ = s.Keyring(t.Context()) })
		}
		wait.Wait()
		for _, keys := range keyrings {
			if keys == nil || keys != keyrings[0] {
				t.Fatal("several keyrings")
			}
		}
		if n := storage.count("store"); n != 1 {
			t.Errorf("%d stores of the keyring", n)
		}
	})
}

func TestKeyringFollowsAReload(t *testing.T) {
	s := newTestStore(newFakeStorage())
	first, _ := s.Keyring(t.Context())
	other := newFakeStorage()
	s.Configure(other, defaultLimits)
	if err := poll(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	second, _ := s.Keyring(t.Context())
	if first == second || other.get(keyring.StoragePrefix(testGate)+"/keyring.json") == nil {
		t.Error("the keyring is still that of the storage before")
	}
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

func TestLifetimeAndIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := newTestStore(storage)
		s.Configure(storage, Limits{Idle: time.Hour, Lifetime: 10 * time.Hour})
		unused, _ := create(t, s, "ada")
		used, session := create(t, s, "bob")
		cancelled := false
		for range 19 {
			time.Sleep(30 * time.Minute)
			mustOpen(t, s, used)
		}
		mustNot(t, s, unused)
		hold(session, func() { cancelled = true })
		time.Sleep(30 * time.Minute)
		mustNot(t, s, used)
		if !cancelled || !session.Ended() || session.endReason() != ReasonLifetime {
			t.Errorf("cancelled %v, ended %v, reason %q", cancelled, session.Ended(), session.endReason())
		}
		mustNot(t, newTestStore(storage), used)
	})
}

func TestShorterLifetimeHoldsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		s := newTestStore(storage)
		ticket, _ := create(t, s, "ada")
		time.Sleep(2 * time.Hour)
		mustOpen(t, s, ticket)
		s.Configure(storage, Limits{Idle: DefaultIdle, Lifetime: time.Hour})
		mustNot(t, s, ticket)
	})
}

func TestIdleHereButUsedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		a, b := newTestStore(storage), newTestStore(storage)
		start(t, b)
		for _, s := range []*Store{a, b} {
			s.Configure(storage, Limits{Idle: time.Hour, Lifetime: DefaultLifetime})
		}
		ticket, _ := create(t, a, "ada")
		for range 4 {
			time.Sleep(20 * time.Minute)
			mustOpen(t, b, ticket)
			synctest.Wait()
		}
		mustOpen(t, a, ticket)
	})
}

// Whoever reads every byte in storage, the gate's keyring included, has no
// ticket, no token and no way to open a record.
func TestStolenStorageOpensNothing(t *testing.T) {
	storage := newFakeStorage()
	s := newTestStore(storage)
	ticket, session := create(t, s, "ada")
	session.written.Store(0)
	mustOpen(t, s, ticket)
	if err := s.storeLastUse(t.Context(), <-s.lastUses); err != nil {
		t.Fatal(err)
	}
	raw, _ := parseTicket(ticket)
	record := recordOf("ada")
	secrets := map[string][]byte{
		"ticket": []byte(ticket), "ticket bytes": raw[:], "random part": raw[:randomSize], "record key": session.key[:],
		"base64 of random part": []byte(base64.StdEncoding.EncodeToString(raw[:randomSize])),
		"access token":          []byte(record.Tokens.Access), "refresh token": []byte(record.Tokens.Refresh),
		"ID token": []byte(record.Tokens.ID), "application": []byte(record.UpstreamSession), "subject": []byte(record.Identity.Subject),
	}
	keys, _ := keyring.Load(t.Context(), storage, testGate, time.Now())
	plain := map[string][]byte{}
	for key, value := range storage.values {
		plain[key] = append([]byte(key+" "), value...)
		sealed, err := cutHeader(value)
		if err != nil {
			sealed = value
		}
		for _, purpose := range []string{purposeHead, purposeLastUse, purposeTicket, "session record", "record"} {
			for _, bounds := range [][]string{nil, {session.ID().String()}, {session.ID().String(), "1"}} {
				if opened, ok := keys.Open(purpose, sealed, bounds...); ok {
					if strings.Contains(key, folderRecords) {
						t.Errorf("the keyring opens a record for %q", purpose)
					}
					plain[key+" opened"] = opened
				}
			}
		}
	}
	if len(plain) < len(storage.values)+2 {
		t.Fatal("heads and last uses were not opened: this test looks at the wrong thing")
	}
	for name, secret := range secrets {
		for key, value := range plain {
			if bytes.Contains(value, secret) {
				t.Errorf("%s holds the %s", key, name)
			}
		}
	}

	// With the keyring a ticket can be made that looks genuine, and that is all.
	forged := raw
	clear(forged[:])
	copy(forged[:], session.id[:])
	copy(forged[randomSize:], keys.MAC(purposeTicket, forged[:randomSize]))
	mustNot(t, newTestStore(storage), forged.String())
	// Renaming files to what it would read does not help either.
	id := idOf(forged.sum())
	storage.put(storageKey(folderRecords, id), storage.get(storageKey(folderRecords, session.ID())))
	head, _ := sealHead(keys, id, session.head.Load())
	storage.put(storageKey(folderHeads, id), head)
	mustNot(t, newTestStore(storage), forged.String())
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

func TestAbsentIsRememberedForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		a, b := newTestStore(storage), newTestStore(storage)
		ticket, session := create(t, a, "ada")
		head := storage.get(storageKey(folderHeads, session.ID()))
		_ = storage.Delete(t.Context(), storageKey(folderHeads, session.ID())) // not there yet, as b sees it
		mustNot(t, b, ticket)
		before := storage.calls.Load()
		for range 50 {
			mustNot(t, b, ticket)
		}
		if n := storage.calls.Load() - before; n != 0 {
			t.Errorf("%d storage calls for a ticket known to open nothing", n)
		}
		storage.put(storageKey(folderHeads, session.ID()), head)
		time.Sleep(absentSeconds * time.Second)
		mustOpen(t, b, ticket)
	})
}

func TestLoadErrorsAreTold(t *testing.T) {
	// fs.ErrNotExist means absent; anything that wraps it too.
	storage := newFakeStorage()
	s := newTestStore(storage)
	v, _ := s.configured()
	storage.before = func(string, string) error { return fmt.Errorf("wrapped: %w", fs.ErrNotExist) }
	if value, err := v.load(t.Context(), "k"); value != nil || err != nil {
		t.Errorf("load = %v, %v, want nil, nil", value, err)
	}
}
