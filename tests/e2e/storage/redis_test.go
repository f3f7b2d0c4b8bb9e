// A Redis server, and the storage of a node in it.

package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// startRedis starts a Redis server that keeps nothing on disk, and returns its address.
func startRedis(t *testing.T) string {
	t.Helper()
	file, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("no Redis is installed: install the package redis-server, or put redis-server into PATH")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	_, port, _ := net.SplitHostPort(address)
	server := exec.Command(file, "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	client := redis.NewClient(&redis.Options{Addr: address})
	defer client.Close()
	for deadline := time.Now().Add(10 * time.Second); client.Ping(t.Context()).Err() != nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("Redis does not answer")
		}
	}
	return address
}

// redisStorage implements keyring.Storage over Redis, like a storage plugin for
// Caddy: no folders, no order, and locks that expire.
type redisStorage struct {
	client *redis.Client
	mu     sync.Mutex
	tokens map[string]string // the locks of this node
}

const (
	lockLife = 30 * time.Second
	lockPoll = 20 * time.Millisecond
)

func newRedisStorage(t *testing.T, address string) *redisStorage {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: address})
	t.Cleanup(func() { _ = client.Close() })
	return &redisStorage{client: client, tokens: map[string]string{}}
}

func (s *redisStorage) Lock(ctx context.Context, name string) error {
	token := rand.Text()
	for {
		err := s.client.SetArgs(ctx, "lock/"+name, token, redis.SetArgs{Mode: "NX", TTL: lockLife}).Err()
		if err == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.tokens[name] = token
			return nil
		}
		if !errors.Is(err, redis.Nil) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(lockPoll):
		}
	}
}

// unlock removes a lock if its holder still has it.
var unlock = redis.NewScript(`if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) end return 0`)

func (s *redisStorage) Unlock(ctx context.Context, name string) error {
	s.mu.Lock()
	token := s.tokens[name]
	delete(s.tokens, name)
	s.mu.Unlock()
	return unlock.Run(ctx, s.client, []string{"lock/" + name}, token).Err()
}

func (s *redisStorage) Store(ctx context.Context, key string, value []byte) error {
	return s.client.Set(ctx, key, value, 0).Err()
}

func (s *redisStorage) Load(ctx context.Context, key string) ([]byte, error) {
	value, err := s.client.Get(ctx, key).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("loading %s: %w", key, fs.ErrNotExist)
	}
	return value, err
}

func (s *redisStorage) Delete(ctx context.Context, key string) error {
	below, err := s.List(ctx, key, true)
	if err != nil {
		return err
	}
	return s.client.Del(ctx, append(below, key)...).Err()
}

func (s *redisStorage) List(ctx context.Context, path string, recursive bool) ([]string, error) {
	var keys []string
	cursor := s.client.Scan(ctx, 0, path+"/*", 1000).Iterator()
	for cursor.Next(ctx) {
		key := cursor.Val()
		if child, _, deep := strings.Cut(key[len(path)+1:], "/"); deep && !recursive {
			key = path + "/" + child
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return slices.Compact(keys), cursor.Err()
}
