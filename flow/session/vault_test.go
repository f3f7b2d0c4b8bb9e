// What is in storage, for an attacker who reads all of it, and how it is listed.

package session

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

// An attacker who reads every byte in storage, the gate's keyring included, gets
// no ticket and no token, and cannot open a record.
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
		"ID token": []byte(record.Tokens.ID), "application": []byte(record.Upstream.ID), "subject": []byte(record.Identity.Subject),
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
		t.Fatal("no head or last use was opened: the test checks nothing")
	}
	for name, secret := range secrets {
		for key, value := range plain {
			if bytes.Contains(value, secret) {
				t.Errorf("%s contains the %s", key, name)
			}
		}
	}

	// With the keyring, an attacker can make a ticket with a valid MAC, but it has
	// no session.
	forged := raw
	clear(forged[:])
	copy(forged[:], session.id[:])
	copy(forged[randomSize:], keys.MAC(purposeTicket, forged[:randomSize]))
	mustNot(t, newTestStore(storage), forged.String())
	// Renaming the stored values to that ticket's ID does not help either.
	id := idOf(forged.sum())
	storage.put(storageKey(folderRecords, id), storage.get(storageKey(folderRecords, session.ID())))
	head, _ := sealHead(keys, id, session.Head())
	storage.put(storageKey(folderHeads, id), head)
	mustNot(t, newTestStore(storage), forged.String())
}

func TestLoadOfAnAbsentKey(t *testing.T) {
	// An error that wraps fs.ErrNotExist means absent too.
	storage := newFakeStorage()
	s := newTestStore(storage)
	v, _ := s.configured()
	storage.before = func(string, string) error { return fmt.Errorf("wrapped: %w", fs.ErrNotExist) }
	if value, err := v.load(t.Context(), "k"); value != nil || err != nil {
		t.Errorf("load = %v, %v, want nil, nil", value, err)
	}
}

func TestListWhileFilesAreDeleted(t *testing.T) {
	storage := newFakeStorage()
	s := newTestStore(storage)
	create(t, s, "ada")
	storage.vanish.Store(listTries - 1)
	if entries, err := s.List(t.Context()); len(entries) != 1 || err != nil {
		t.Errorf("List = %v, %v, want one entry", entries, err)
	}
	storage.vanish.Store(1000)
	if _, err := s.List(t.Context()); err == nil {
		t.Error("List = nil error for a folder that could not be listed")
	}
}
