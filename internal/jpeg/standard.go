package jpeg

import "encoding/hex"

// standardTables are the tables of T.81, K.3 to K.6, as bodies of DHT in hexadecimal digits. Frames of motion JPEG
// leave them out.
const standardTables = "" +
	"0000010501010101010100000000000000000102030405060708090a0b" +
	"100002010303020403050504040000017d01020300041105122131410613516107227114328191a1082342b1c11552d1f024" +
	"33627282090a161718191a25262728292a3435363738393a434445464748494a535455565758595a636465666768696a7374" +
	"75767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9ca" +
	"d2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa" +
	"0100030101010101010101010000000000000102030405060708090a0b" +
	"1100020102040403040705040400010277000102031104052131061241510761711322328108144291a1b1c109233352f015" +
	"6272d10a162434e125f11718191a262728292a35363738393a434445464748494a535455565758595a636465666768696a73" +
	"7475767778797a82838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8" +
	"c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa"

// useStandardTables sets the tables that the file has not defined.
func (d *decoder) useStandardTables() {
	var standard decoder
	body, err := hex.DecodeString(standardTables)
	if err == nil {
		err = standard.readHuffman(body)
	}
	if err != nil {
		panic(err) // the tables are constant
	}
	for class := range d.huff {
		for id, h := range standard.huff[class] {
			if d.huff[class][id] == nil {
				d.huff[class][id] = h
			}
		}
	}
}
