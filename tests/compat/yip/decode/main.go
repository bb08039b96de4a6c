// Decodes documents as one version of yip does, and tells what came of each.
//
// Reads lines of JSON {"text": base64}. Writes one line for each: {"error": text} where yip refuses the document, else
// {"value": ...} with every field that is not empty, by its key in YAML.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"

	"YIP/pkg/schema"
)

func key(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
	if name == "" {
		name = strings.ToLower(field.Name)
	}
	return name
}

// plain gives a value as maps, lists, text, numbers and truth values, and whether it is empty.
func plain(v reflect.Value) (any, bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil, true
		}
		return plain(v.Elem())
	case reflect.Struct:
		found := map[string]any{}
		for i := 0; i < v.NumField(); i++ {
			field := v.Type().Field(i)
			if key(field) == "-" {
				continue
			}
			if value, empty := plain(v.Field(i)); !empty {
				found[key(field)] = value
			}
		}
		return found, len(found) == 0
	case reflect.Map:
		found := map[string]any{}
		for _, name := range v.MapKeys() {
			found[name.String()], _ = plain(v.MapIndex(name))
		}
		return found, len(found) == 0
	case reflect.Slice:
		found := []any{}
		for i := 0; i < v.Len(); i++ {
			value, _ := plain(v.Index(i))
			found = append(found, value)
		}
		return found, len(found) == 0
	case reflect.Int:
		return v.Int(), v.Int() == 0
	case reflect.Uint, reflect.Uint32, reflect.Uint64:
		return v.Uint(), v.Uint() == 0
	case reflect.Bool:
		return v.Bool(), !v.Bool()
	default:
		return v.String(), v.String() == ""
	}
}

func load(text []byte) (result map[string]any) {
	defer func() {
		if fault := recover(); fault != nil {
			result = map[string]any{"error": fmt.Sprint("panic: ", fault)}
		}
	}()
	config, err := schema.Load(string(text), nil, nil, nil)
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	value, _ := plain(reflect.ValueOf(config))
	return map[string]any{"value": value}
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked struct{ Text []byte }
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			panic(err)
		}
		if err := out.Encode(load(asked.Text)); err != nil {
			panic(err)
		}
	}
}
