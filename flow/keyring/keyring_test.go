// Tests of sealing, opening and authenticating.

package keyring

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestNewKeyring(t *testing.T) {
	t.Parallel()
	good := make([]byte, 32)
	for name, secrets := range map[string][][]byte{
		"no secret": nil, "empty secret": {{}}, "31 bytes": {make([]byte, 31)}, "33 bytes": {make([]byte, 33)},
		"second of 16 bytes": {good, make([]byte, 16)},
	} {
		if ring, err := New("gate", secrets...); err == nil || ring != nil {
			t.Errorf("%s: New = %v, %v, want an error", name, ring, err)
		}
	}
}

// A sealed value opens only for its gate and purpose, with the values it is
// bound to.
func TestSealedValuesAreApart(t *testing.T) {
	t.Parallel()
	ring := ringOf(t, "gate", 1)
	sealed := ring.Seal("purpose", []byte("text"), "a", "bc")
	for name, row := range map[string]struct {
		ring    *Keyring
		purpose string
		sealed  []byte
		bound   []string
		opens   bool
	}{
		"as sealed":                          {ring, "purpose", sealed, []string{"a", "bc"}, true},
		"another purpose":                    {ring, "purpose2", sealed, []string{"a", "bc"}, false},
		"another gate":                       {ringOf(t, "gate2", 1), "purpose", sealed, []string{"a", "bc"}, false},
		"another secret":                     {ringOf(t, "gate", 2), "purpose", sealed, []string{"a", "bc"}, false},
		"bound to nothing":                   {ring, "purpose", sealed, nil, false},
		"one bound value missing":            {ring, "purpose", sealed, []string{"a"}, false},
		"one bound value more":               {ring, "purpose", sealed, []string{"a", "bc", ""}, false},
		"bound values split differently":     {ring, "purpose", sealed, []string{"ab", "c"}, false},
		"bound values swapped":               {ring, "purpose", sealed, []string{"bc", "a"}, false},
		"bound values joined as encoded":     {ring, "purpose", sealed, []string{"a2:bc"}, false},
		"bound value moved into the purpose": {ring, "purpose1:a", sealed, []string{"bc"}, false},
		"empty value":                        {ring, "purpose", nil, []string{"a", "bc"}, false},
		"last byte missing":                  {ring, "purpose", sealed[:len(sealed)-1], []string{"a", "bc"}, false},
		"nonce only":                         {ring, "purpose", sealed[:12], []string{"a", "bc"}, false},
		"one byte more":                      {ring, "purpose", append(slices.Clone(sealed), 0), []string{"a", "bc"}, false},
	} {
		if got, ok := row.ring.Open(row.purpose, row.sealed, row.bound...); ok != row.opens || ok && string(got) != "text" || !ok && got != nil {
			t.Errorf("%s: Open = %q, %v, want %v", name, got, ok, row.opens)
		}
	}
	for i := range sealed {
		changed := slices.Clone(sealed)
		changed[i] ^= 1
		if _, ok := ring.Open("purpose", changed, "a", "bc"); ok {
			t.Errorf("the value opens with byte %d changed, want it refused", i)
		}
	}
	if again := ring.Seal("purpose", []byte("text"), "a", "bc"); bytes.Equal(again, sealed) {
		t.Error("sealing twice gave the same value, want a new nonce each time (CVE-2021-32791)")
	}
}

// Gate and purpose are authenticated, in addition to their separate keys.
func TestAdditional(t *testing.T) {
	t.Parallel()
	ring := ringOf(t, "g", 1)
	if got := string(ring.additional("purpose", []string{"a", ""})); got != "1:g7:purpose1:a0:" {
		t.Errorf("additional = %q, want 1:g7:purpose1:a0:", got)
	}
}

// During a rotation the new secret seals, and the old one still opens values
// and checks MACs. Once it is dropped, its values no longer open.
func TestRotation(t *testing.T) {
	t.Parallel()
	before, during, after := ringOf(t, "gate", 1), ringOf(t, "gate", 2, 1), ringOf(t, "gate", 2)
	old, oldMAC := before.Seal("p", []byte("old")), before.MAC("p", []byte("data"))
	fresh, freshMAC := during.Seal("p", []byte("new")), during.MAC("p", []byte("data"))
	for name, row := range map[string]struct {
		ring       *Keyring
		old, fresh bool // what opens
	}{
		"before": {before, true, false}, "during": {during, true, true}, "after": {after, false, true},
	} {
		if _, ok := row.ring.Open("p", old); ok != row.old || row.ring.CheckMAC("p", []byte("data"), oldMAC) != row.old {
			t.Errorf("%s: the old value opens: %v, want %v, and so for its MAC", name, ok, row.old)
		}
		if _, ok := row.ring.Open("p", fresh); ok != row.fresh || row.ring.CheckMAC("p", []byte("data"), freshMAC) != row.fresh {
			t.Errorf("%s: the new value opens: %v, want %v, and so for its MAC", name, ok, row.fresh)
		}
	}
}

func TestCheckMAC(t *testing.T) {
	t.Parallel()
	ring, data := ringOf(t, "gate", 2, 1), []byte("data")
	mac := ring.MAC("p", data)
	if len(mac) != 32 || bytes.Equal(mac, ring.MAC("q", data)) || bytes.Equal(mac, ringOf(t, "gate2", 2).MAC("p", data)) {
		t.Errorf("MAC of %d bytes, equal to that of another purpose or gate, want 32 bytes of its own", len(mac))
	}
	if bytes.Equal(ring.key(derivedKey{0, "mac", "p"}), ring.key(derivedKey{0, "aead", "p"})) {
		t.Error("MAC and AEAD share a key, want one each")
	}
	for n := range 40 {
		given := append(slices.Clone(mac), make([]byte, 8)...)[:n]
		if got, want := ring.CheckMAC("p", data, given), n >= 8 && n <= 32; got != want {
			t.Errorf("%d bytes: CheckMAC = %v, want %v", n, got, want)
		}
	}
	for i := range 8 {
		wrong := slices.Clone(mac[:8])
		wrong[i] ^= 1
		if ring.CheckMAC("p", data, wrong) {
			t.Errorf("the MAC is accepted with byte %d changed, want it refused", i)
		}
	}
	if ring.CheckMAC("p", []byte("Data"), mac) || ring.CheckMAC("q", data, mac) || ring.CheckMAC("p", data, nil) {
		t.Error("the MAC is accepted for other data, another purpose, or if empty, want it refused")
	}
}

// A sealed value has one spelling: otherwise a revoked cookie could come back
// under another.
func TestOpenText(t *testing.T) {
	t.Parallel()
	ring := ringOf(t, "gate", 1)
	var sealed string // with unused bits in its last character
	for _, text := range []string{"a", "ab", "abc"} {
		if sealed = ring.SealText("p", []byte(text)); len(sealed)%4 == 2 {
			break
		}
	}
	if _, ok := ring.OpenText("p", sealed); !ok {
		t.Fatal("OpenText refuses the value from SealText, want it to open")
	}
	half := len(sealed) / 2
	last := sealed[len(sealed)-1]
	alphabet := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	spare := alphabet[strings.IndexByte(alphabet, last)|1]
	for name, text := range map[string]string{
		"LF at the end":      sealed + "\n",
		"LF at the start":    "\n" + sealed,
		"LF within":          sealed[:half] + "\n" + sealed[half:],
		"CR at the end":      sealed + "\r",
		"CR within":          sealed[:half] + "\r" + sealed[half:],
		"CR and LF within":   sealed[:half] + "\r\n" + sealed[half:],
		"four CR at the end": sealed + "\r\r\r\r",
		"padding":            sealed + "=",
		"double padding":     sealed + "==",
		"space":              sealed + " ",
		"standard alphabet":  strings.NewReplacer("-", "+", "_", "/").Replace(sealed) + "+",
		"unused bits set":    sealed[:len(sealed)-1] + string(spare),
		"empty":              "",
		"one character":      "A",
		"one character more": sealed + "A",
	} {
		if _, ok := ring.OpenText("p", text); ok {
			t.Errorf("%s: OpenText accepts %q, want it refused", name, text)
		}
	}
}

func FuzzOpenText(f *testing.F) {
	ring := ringOf(f, "gate", 2, 1)
	sealed := ring.SealText("p", []byte("text"), "bound")
	for _, seed := range []string{sealed, sealed + "\n", sealed + "=", ringOf(f, "gate", 1).SealText("p", []byte("text"), "bound"), "", "A", "!", strings.Repeat("A", 5000)} {
		f.Add(seed)
	}
	old := ringOf(f, "gate", 1).SealText("p", []byte("text"), "bound")
	f.Add(old)
	f.Fuzz(func(t *testing.T, text string) {
		if got, ok := ring.OpenText("p", text, "bound"); ok && string(got) != "text" {
			t.Errorf("%q opens as %q, want text", text, got)
		}
		if _, ok := ring.OpenText("p", text, "other"); ok {
			t.Errorf("%q opens with another bound value, want it refused", text)
		}
	})
}

func TestDeriveKey(t *testing.T) {
	t.Parallel()
	secret := make([]byte, 32)
	seen := map[string]bool{}
	for _, key := range [][]byte{
		DeriveKey(secret, "g", "p"), DeriveKey(secret, "g", "q"), DeriveKey(secret, "h", "p"), DeriveKey(secret, "gp", ""),
		DeriveKey(bytes.Repeat([]byte{1}, 32), "g", "p"),
	} {
		if len(key) != 32 {
			t.Errorf("key of %d bytes, want 32", len(key))
		}
		seen[string(key)] = true
	}
	if len(seen) != 5 {
		t.Errorf("%d different keys, want 5", len(seen))
	}
	if !bytes.Equal(DeriveKey(secret, "g", "p"), DeriveKey(secret, "g", "p")) {
		t.Error("deriving a key twice gave different keys, want the same")
	}
}

// Concurrent calls may derive the same keys at the same time.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	ring := ringOf(t, "gate", 2, 1)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got, ok := ring.OpenText("p", ring.SealText("p", []byte("x"))); !ok || string(got) != "x" || !ring.CheckMAC("p", got, ring.MAC("p", got)) {
				t.Error("a value or MAC is refused under concurrent use, want it accepted")
			}
		})
	}
	wg.Wait()
}
