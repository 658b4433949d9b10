"""What gunicorn serves: a page, who served it, and the digest of what was posted."""
import hashlib, os
from flask import Flask, request
app = Flask(__name__)
@app.get("/")
def hello(): return "hello"
@app.get("/pid")
def pid(): return str(os.getpid())
@app.post("/digest")
def digest(): return hashlib.sha256(request.get_data()).hexdigest()
