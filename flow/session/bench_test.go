// Benchmarks, and bounds on the allocations of a lookup and the memory of a session.

package session

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// fill puts n sessions with the same record in memory, without storage, and
// returns the tickets of about a thousand of them.
func fill(tb testing.TB, s *Store, sessions int) []string {
	tb.Helper()
	keys, err := s.Keyring(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	record := &snapshot{Revision: 1, Record: recordOf("ada")}
	record.Record.Created = time.Now()
	var tickets []string
	for i := range sessions {
		ticket := newTicket(keys)
		head := newHead(&record.Record, time.Now().Add(DefaultLifetime), s.node)
		s.memory.insert(s.newSession(ticket, &head, record, time.Now().Unix()))
		if i%(1+sessions/1000) == 0 {
			tickets = append(tickets, ticket.String())
		}
	}
	return tickets
}

func BenchmarkLookup(b *testing.B) {
	for _, sessions := range []int{1, 100_000} {
		s := newTestStore(newFakeStorage(), func(o *Options) { o.Capacity = sessions })
		tickets := fill(b, s, sessions)
		ctx := b.Context()
		lookup := func(i int) { // b.Helper would cost as much as a lookup
			if session, err := s.Lookup(ctx, tickets[i%len(tickets)]); session == nil || err != nil {
				b.Errorf("Lookup = %v, %v, want a session", session, err)
			}
		}
		b.Run(fmt.Sprint(sessions), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				lookup(i)
			}
		})
		b.Run(fmt.Sprint(sessions, "/parallel"), func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					lookup(i)
				}
			})
		})
	}
}

func BenchmarkForged(b *testing.B) {
	s := newTestStore(newFakeStorage())
	fill(b, s, 1)
	forged := ticket{1}.String()
	b.ReportAllocs()
	for b.Loop() {
		if session, err := s.Lookup(b.Context(), forged); session != nil || err != nil {
			b.Fatalf("Lookup of a forged ticket = %v, %v, want no session", session, err)
		}
	}
}

func BenchmarkHold(b *testing.B) {
	s := newTestStore(newFakeStorage())
	tickets := fill(b, s, 1)
	session, _ := s.Lookup(b.Context(), tickets[0])
	h := &stream{func() {}}
	b.ReportAllocs()
	for b.Loop() {
		session.Hold(h).Release(h)
	}
}

func TestLookupAllocates(t *testing.T) {
	s := newTestStore(newFakeStorage())
	ticket := fill(t, s, 1)[0]
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() { _, _ = s.Lookup(ctx, ticket) }); n > 1 {
		t.Errorf("a lookup allocates %v times, want at most 1", n)
	}
}

// A session costs at most 300 bytes of memory beyond its record.
func TestMemoryPerSession(t *testing.T) {
	const sessions = 100_000
	s := newTestStore(newFakeStorage(), func(o *Options) { o.Capacity = sessions })
	if _, err := s.Keyring(t.Context()); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	fill(t, s, sessions)
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (after.HeapAlloc - before.HeapAlloc) / sessions
	t.Logf("%d bytes per session", each)
	if s.Len() != sessions || each > 300 {
		t.Errorf("%d sessions in memory at %d bytes each, want %d at up to 300", s.Len(), each, sessions)
	}
	runtime.KeepAlive(s)
}
