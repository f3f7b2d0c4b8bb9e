// Ends of the access tokens that users have beside their sessions.

package session

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"
)

// tokenEndLife is how long the end of a user's access tokens is kept: longer
// than a provider gives access tokens.
const tokenEndLife = 30 * 24 * time.Hour

// tokensID names the end of a user's access tokens, or of all users' if userKey
// is empty, among the tombstones.
func tokensID(userKey string) ID { return idOf(sha256.Sum256([]byte("access tokens of " + userKey))) }

// EndTokens ends the access tokens that a user (see UserKey) has now, or those
// of all users if userKey is empty, on all nodes. An error means that storage did
// not take the end; the store retries.
func (s *Store) EndTokens(ctx context.Context, userKey, reason string) error {
	now := s.now().UTC()
	id, t := tokensID(userKey), tombstone{Reason: reason, Ended: now, Until: now.Add(tokenEndLife)}
	err := s.persistEnd(ctx, id, t)
	if err != nil {
		s.retries.addEnd(id, t)
	}
	s.Doubt(ctx) // so that other nodes ask TokensEnded again
	return err
}

// TokensEnded returns when the access tokens of a user ended last; zero: never.
func (s *Store) TokensEnded(ctx context.Context, userKey string) (time.Time, error) {
	var last time.Time
	for _, key := range []string{userKey, ""} {
		ended, err := s.endOf(ctx, tokensID(key))
		if err != nil {
			return last, err
		}
		if ended.After(last) {
			last = ended
		}
	}
	return last, nil
}

// UserEnds is what storage says about the ends of everything that a user has. A
// sign-in that was under way on one node is in no list of another: it compares what
// was said at its beginning with what is said at its end. Times do not matter,
// since the clocks of nodes differ.
type UserEnds [2]string

// UserEnds returns the ends of a user (see UserKey), and of all users.
func (s *Store) UserEnds(ctx context.Context, userKey string) (UserEnds, error) {
	v, err := s.configured()
	if err != nil {
		return UserEnds{}, err
	}
	var ends UserEnds
	err = within(ctx, loadLimit, func(ctx context.Context) error {
		for i, key := range []string{userKey, ""} {
			value, err := v.load(ctx, v.key(folderTombstones, tokensID(key)))
			if err != nil {
				return err
			}
			ends[i] = string(value)
		}
		return nil
	})
	if err != nil { // ends may be written even now
		return UserEnds{}, fmt.Errorf("reading the ends of a user: %w", err)
	}
	return ends, nil
}

// Since returns the reason for an end that was not in before, empty if there is none.
func (e UserEnds) Since(before UserEnds) (reason string) {
	for i := range e {
		if e[i] != "" && e[i] != before[i] {
			return reasonIn([]byte(e[i]))
		}
	}
	return ""
}

// endOf returns when id ended; zero: it has not.
func (s *Store) endOf(ctx context.Context, id ID) (time.Time, error) {
	if t, queued := s.retries.end(id); queued {
		return t.Ended, nil
	}
	v, err := s.configured()
	if err != nil {
		return time.Time{}, err
	}
	var ended time.Time
	err = within(ctx, loadLimit, func(ctx context.Context) error {
		value, err := v.load(ctx, v.key(folderTombstones, id))
		if err == nil && value != nil {
			ended = s.endedIn(value)
		}
		return err
	})
	if err != nil { // ended may be written even now
		return time.Time{}, fmt.Errorf("reading the end of access tokens: %w", err)
	}
	return ended, nil
}
