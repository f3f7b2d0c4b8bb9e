// The languages of the gate's pages.

package problem

import (
	"embed"
	"encoding/json"
	"net/http"
	"path"
	"strings"

	"golang.org/x/text/language"
)

// languageFiles hold one language each: the English texts of all pages, each with
// its translation. The name of a file is the language's BCP 47 tag.
//
//go:embed languages/*.json
var languageFiles embed.FS

// translation holds the texts of a language, by the English text. English has none.
type translation struct {
	tag   language.Tag
	texts map[string]string
}

var translations, matcher = loadTranslations()

func loadTranslations() ([]translation, language.Matcher) {
	files, err := languageFiles.ReadDir("languages")
	if err != nil {
		panic(err) // the files are part of the program
	}
	all, tags := make([]translation, 1, 1+len(files)), make([]language.Tag, 1, 1+len(files))
	all[0].tag, tags[0] = language.English, language.English
	for _, file := range files {
		known := translation{tag: language.MustParse(strings.TrimSuffix(file.Name(), ".json"))}
		content, err := languageFiles.ReadFile(path.Join("languages", file.Name()))
		if err != nil {
			panic(err)
		}
		if err := json.Unmarshal(content, &known.texts); err != nil {
			panic(file.Name() + ": " + err.Error())
		}
		all, tags = append(all, known), append(tags, known.tag)
	}
	return all, language.NewMatcher(tags)
}

// acceptLanguageLimit bounds what is read of Accept-Language, in bytes.
const acceptLanguageLimit = 256

// translationFor returns the language that the client asks for in
// Accept-Language ([RFC 9110 section 12.5.4]), English if there is no other.
//
// [RFC 9110 section 12.5.4]: https://www.rfc-editor.org/rfc/rfc9110#section-12.5.4
func translationFor(r *http.Request) translation {
	accepted := r.Header.Get("Accept-Language")
	if len(accepted) > acceptLanguageLimit {
		accepted = accepted[:acceptLanguageLimit]
	}
	wanted, _, err := language.ParseAcceptLanguage(accepted)
	if err != nil || len(wanted) == 0 {
		return translations[0]
	}
	_, i, _ := matcher.Match(wanted...)
	return translations[i]
}

// of returns the translation of text, which is text itself if there is none.
func (t translation) of(text string) string {
	if translated, ok := t.texts[text]; ok {
		return translated
	}
	return text
}
