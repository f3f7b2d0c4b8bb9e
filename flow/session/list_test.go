// Queries: List, ListUser, Find, and EndNamed, which selects by the same heads.

package session

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const testIssuer = "https://auth.example.com"

func TestEndNamed(t *testing.T) {
	for name, c := range map[string]struct {
		username string
		keys     []string
		want     int
	}{
		"name":                 {"ada", nil, 2},
		"name in another case": {"Ada", nil, 0},
		"key":                  {"sub-ada", []string{"x", UserKey(testIssuer, "sub-ada")}, 2},
		"name and key":         {"bob", []string{UserKey(testIssuer, "sub-ada")}, 3},
		"another issuer":       {"", []string{UserKey("https://other.example.com", "sub-ada")}, 0},
		"no match":             {"carol", nil, 0},
		"an e-mail address":    {"ada@example.com", nil, 0}, // heads do not hold it
	} {
		t.Run(name, func(t *testing.T) {
			storage := newFakeStorage()
			a, b := newTestStore(storage), newTestStore(storage)
			create(t, a, "ada")
			create(t, b, "ada")
			create(t, b, "bob")
			if n, err := a.EndNamed(t.Context(), c.username, c.keys, "x"); n != c.want || err != nil {
				t.Errorf("ended %d, %v, want %d", n, err, c.want)
			}
			if left, err := newTestStore(storage).List(t.Context()); len(left) != 3-c.want || err != nil {
				t.Errorf("List after the end = %v, %v, want %d entries", left, err, 3-c.want)
			}
		})
	}
}

// ListUser returns only the sessions of that user, and reads only the heads of
// other users' sessions.
func TestListUser(t *testing.T) {
	storage := newFakeStorage()
	a := newTestStore(storage)
	_, first := create(t, a, "ada")
	for range 20 {
		create(t, a, "bob")
	}
	b := newTestStore(storage)
	_, second := create(t, b, "ada")
	before := storage.count("load")
	entries, err := b.ListUser(t.Context(), UserKey(testIssuer, "sub-ada"))
	if err != nil || len(entries) != 2 {
		t.Fatalf("ListUser = %+v, %v, want two entries", entries, err)
	}
	ids := map[ID]bool{entries[0].ID: true, entries[1].ID: true}
	if !ids[first.ID()] || !ids[second.ID()] {
		t.Errorf("ListUser = %+v, want %s and %s", entries, first.ID(), second.ID())
	}
	if n := storage.count("load") - before; n != 21+2 { // memory has one head; two last uses
		t.Errorf("ListUser caused %d loads, want 23", n)
	}
	if entries, err := b.ListUser(t.Context(), ""); len(entries) != 0 || err != nil {
		t.Errorf("ListUser without a user = %+v, %v, want no entries", entries, err)
	}
}

func TestFind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		a, b := newTestStore(storage), newTestStore(storage)
		for _, s := range []*Store{a, b} {
			s.Configure(storage, Limits{Idle: time.Hour, Lifetime: 2 * time.Hour})
		}
		_, ada := create(t, a, "ada")
		for _, s := range []*Store{a, b} {
			if head, err := s.Find(t.Context(), ada.ID()); head == nil || head.UserKey != UserKey(testIssuer, "sub-ada") || err != nil {
				t.Errorf("Find = %v, %v, want the head of ada", head, err)
			}
			if head, err := s.Find(t.Context(), ID{1}); head != nil || err != nil {
				t.Errorf("Find of an unknown ID = %v, %v, want nil, nil", head, err)
			}
		}
		storage.away.Store(true)
		if head, err := a.Find(t.Context(), ada.ID()); head == nil || err != nil { // memory has it
			t.Errorf("Find in memory while storage is away = %v, %v, want the head", head, err)
		}
		if _, err := b.Find(t.Context(), ada.ID()); !errors.Is(err, errAway) {
			t.Errorf("Find while storage is away: %v, want %v", err, errAway)
		}
		storage.away.Store(false)

		// The head came back by accident; the tombstone still marks the end.
		head := storage.get(storageKey(folderHeads, ada.ID()))
		_ = a.End(t.Context(), ada.ID(), "x")
		storage.put(storageKey(folderHeads, ada.ID()), head)
		for _, s := range []*Store{a, b} {
			if head, err := s.Find(t.Context(), ada.ID()); head != nil || err != nil {
				t.Errorf("Find of an ended session = %v, %v, want nil, nil", head, err)
			}
		}
		_, carol := create(t, a, "carol")
		storage.away.Store(true)
		_ = a.End(t.Context(), carol.ID(), "x") // only queued for storage
		storage.away.Store(false)
		if head, err := a.Find(t.Context(), carol.ID()); head != nil || err != nil {
			t.Errorf("Find of a session with a queued end = %v, %v, want nil, nil", head, err)
		}
		_, bob := create(t, a, "bob")
		time.Sleep(2 * time.Hour)
		if head, err := b.Find(t.Context(), bob.ID()); head != nil || err != nil {
			t.Errorf("Find of an expired session = %v, %v, want nil, nil", head, err)
		}
	})
}

func TestListOmitsEndedSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newFakeStorage()
		a, b := newTestStore(storage), newTestStore(storage, func(o *Options) { o.Node = "b" })
		for _, s := range []*Store{a, b} {
			s.Configure(storage, Limits{Idle: time.Hour, Lifetime: 10 * time.Hour})
		}
		create(t, a, "idle")
		time.Sleep(50 * time.Minute)
		create(t, a, "ada")
		_, ended := create(t, a, "ended")
		_ = a.End(t.Context(), ended.ID(), "x")
		time.Sleep(20 * time.Minute)
		ticket, bob := create(t, b, "bob")
		time.Sleep(20 * time.Minute)
		mustOpen(t, b, ticket)
		entries, err := b.List(t.Context())
		if err != nil || len(entries) != 2 {
			t.Fatalf("List = %+v, %v, want two entries", entries, err)
		}
		if e := entries[0]; e.User != "bob" || e.ID != bob.ID() || e.Node != "b" || time.Since(e.LastSeen) > time.Second ||
			e.Expires.Sub(e.Created) != 10*time.Hour {
			t.Errorf("first entry %+v, want bob on node b, used just now, with a lifetime of 10 hours", e)
		}
		if entries[1].User != "ada" {
			t.Errorf("second entry %+v, want ada", entries[1])
		}
		for _, s := range []string{fmt.Sprintf("%+v", entries), fmt.Sprintf("%#v", entries)} {
			if strings.Contains(s, "authelia") || strings.Contains(s, ticket) {
				t.Error("the list contains a ticket or token")
			}
		}
		storage.away.Store(true)
		if _, err := b.List(t.Context()); !errors.Is(err, errAway) {
			t.Errorf("List while storage is away: %v, want %v", err, errAway)
		}
	})
}

// List leaves out sessions with a tombstone, even if their heads are still in
// storage. A lookup in a slice instead of a set would take a second for 20,000.
func TestListOmitsTombstones(t *testing.T) {
	const sessions = 20_000
	storage := newFakeStorage()
	s := newTestStore(storage)
	seedHeads(t, s, storage.put, sessions, time.Now())
	for i, key := range storage.under(folderHeads) {
		if i%100 != 0 {
			storage.put(strings.Replace(key, folderHeads, folderTombstones, 1), []byte("{}"))
		}
	}
	entries, err := s.List(t.Context())
	if err != nil || len(entries) != sessions/100 {
		t.Fatalf("List = %d entries, %v, want %d", len(entries), err, sessions/100)
	}
	for _, e := range entries {
		if storage.get(storageKey(folderTombstones, e.ID)) != nil {
			t.Errorf("session %s has a tombstone and is listed", e.ID)
		}
	}
}
